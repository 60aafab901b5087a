"""The packages that only some exports need."""

import importlib.util

from t2t_keras.errors import ExportError


def require_packages(purpose: str, packages: tuple[str, ...]) -> None:
    """Raises an ExportError with the line that installs what is missing.

    Args:
        purpose: What they are needed for.
        packages: Their names, to install and to import.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"{purpose} needs {', '.join(missing)}, not installed here. "
            'Install with: pip install "t2t-keras[export]"'
        )
