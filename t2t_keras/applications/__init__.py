"""The public model functions."""

from t2t_keras.applications.registry import create_model, list_models
from t2t_keras.applications.t2t_vit import (
    T2TViT,
    T2TViT7,
    T2TViT10,
    T2TViT12,
    T2TViT14,
    T2TViT14ResNeXt,
    T2TViT14SE,
    T2TViT14Wide,
    T2TViT16Ghost,
    T2TViT19,
    T2TViT24,
    T2TViTc14,
    T2TViTDense,
    T2TViTt14,
    T2TViTt19,
    T2TViTt24,
)

__all__ = [
    "T2TViT",
    "T2TViT10",
    "T2TViT12",
    "T2TViT14",
    "T2TViT14ResNeXt",
    "T2TViT14SE",
    "T2TViT14Wide",
    "T2TViT16Ghost",
    "T2TViT19",
    "T2TViT24",
    "T2TViT7",
    "T2TViTDense",
    "T2TViTc14",
    "T2TViTt14",
    "T2TViTt19",
    "T2TViTt24",
    "create_model",
    "list_models",
]
