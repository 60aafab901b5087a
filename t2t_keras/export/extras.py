"""The packages that only some exports need."""

import importlib.util

from t2t_keras.errors import ExportError


def require_packages(purpose: str, modules: dict[str, str]) -> None:
    """Raises an ExportError with the line that installs what is missing.

    Args:
        purpose: What they are needed for.
        modules: Name to import -> name to install.
    """
    missing = [
        package for module, package in modules.items() if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ExportError(
            f"{purpose} needs {', '.join(missing)}, not installed here. "
            'Install with: pip install "t2t-keras[export]"'
        )
