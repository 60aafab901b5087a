"""A trained model as files that other programs run."""

from t2t_keras.export.saved_model import (
    Classifier,
    export_saved_model,
    load_saved_model,
    next_version,
)

__all__ = ["Classifier", "export_saved_model", "load_saved_model", "next_version"]
