"""Tokens-to-Token ViT for Keras 3.

    import t2t_keras

    model = t2t_keras.T2TViT14(weights="imagenet")
    image = t2t_keras.load_image("cat.jpg")
    scores = model.predict(t2t_keras.preprocess_input(image[None]))
    print(t2t_keras.decode_predictions(scores, top=5))

Reference: arXiv:2101.11986; the authors' code is yitu-opensource/T2T-ViT.
"""

import importlib

from t2t_keras.applications import (
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
    create_model,
    list_models,
)
from t2t_keras.errors import (
    CheckpointError,
    DataError,
    DownloadError,
    ExportError,
    ResumeError,
    T2TError,
    TrainingError,
)
from t2t_keras.images import decode_predictions, load_image, preprocess_input
from t2t_keras.layers import (
    ClassToken,
    DeepNarrowEncoder,
    DenseEncoder,
    DenseGrowthBlock,
    EncoderBlock,
    GhostAttention,
    GhostMlp,
    Mlp,
    MultiHeadSelfAttention,
    PositionTable,
    SoftSplit,
    SqueezeExcite,
    StochasticDepth,
    T2TBlock,
    TokenMap,
    TokenPerformer,
    TokenPooling,
    TokenTransformer,
    Transition,
)
from t2t_keras.models import count_macs, feature_strides, features
from t2t_keras.variants import VARIANTS, Variant
from t2t_keras.weights import convert, load_official_checkpoint, read_torch_checkpoint

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ClassToken",
    "DataError",
    "DeepNarrowEncoder",
    "DenseEncoder",
    "DenseGrowthBlock",
    "DownloadError",
    "EncoderBlock",
    "ExportError",
    "GhostAttention",
    "GhostMlp",
    "Mlp",
    "MultiHeadSelfAttention",
    "PositionTable",
    "ResumeError",
    "SoftSplit",
    "SqueezeExcite",
    "StochasticDepth",
    "T2TBlock",
    "T2TError",
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
    "TokenMap",
    "TokenPerformer",
    "TokenPooling",
    "TokenTransformer",
    "TrainingError",
    "Transition",
    "VARIANTS",
    "Variant",
    "convert",
    "count_macs",
    "create_model",
    "decode_predictions",
    "feature_strides",
    "features",
    "list_models",
    "load_image",
    "load_official_checkpoint",
    "preprocess_input",
    "read_torch_checkpoint",
]

# They load TensorFlow, TFDS' readers or matplotlib: imported when they are first asked for.
_ON_DEMAND = ("data", "export", "training", "visualize")


def __getattr__(name: str):
    if name in _ON_DEMAND:
        return importlib.import_module(f"t2t_keras.{name}")
    raise AttributeError(f"module 't2t_keras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ON_DEMAND])
