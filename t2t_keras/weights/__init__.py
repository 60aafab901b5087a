"""Reading, converting and storing weights."""

from t2t_keras.weights.assign import Report
from t2t_keras.weights.convert import Conversion, convert, load_official_checkpoint
from t2t_keras.weights.torch_reader import read_torch_checkpoint

__all__ = [
    "Conversion",
    "Report",
    "convert",
    "load_official_checkpoint",
    "read_torch_checkpoint",
]
