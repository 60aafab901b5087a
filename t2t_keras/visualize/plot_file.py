"""A figure as a PNG file. No display is needed."""

import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from t2t_keras.files import atomic_path


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a figure; the file is replaced whole or not at all."""
    with atomic_path(Path(path)) as part:
        FigureCanvasAgg(figure).print_png(part)
