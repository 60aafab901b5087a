"""Reading, converting and storing weights."""

from t2t_keras.weights.torch_file import read_torch_checkpoint

__all__ = ["read_torch_checkpoint"]
