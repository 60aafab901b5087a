from tests.export.conftest import exported, model, served

__all__ = ["exported", "model", "served"]
