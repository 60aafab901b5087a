"""A trained model as files that other programs run."""

from t2t_keras.export.classifier import UNREADABLE, Classifier
from t2t_keras.export.exchange import export_model
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.export.saved_model import export_saved_model, load_saved_model, next_version

__all__ = [
    "UNREADABLE",
    "Classifier",
    "Preprocessing",
    "export_model",
    "export_saved_model",
    "load_saved_model",
    "next_version",
]
