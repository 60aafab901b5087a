"""Reading, converting and storing weights."""

from t2t_keras.weights.convert import Conversion, convert, load_official_checkpoint
from t2t_keras.weights.torch_file import read_torch_checkpoint
from t2t_keras.weights.transfer import Report

__all__ = [
    "Conversion",
    "Report",
    "convert",
    "load_official_checkpoint",
    "read_torch_checkpoint",
]
