"""Functional graphs made of the layers, their parts by name, feature maps and operation counts."""

from t2t_keras.models.features import feature_strides, features
from t2t_keras.models.macs import count_macs
from t2t_keras.models.t2t_vit import build_model

__all__ = ["build_model", "count_macs", "feature_strides", "features"]
