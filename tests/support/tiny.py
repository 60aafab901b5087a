"""The tiny model of the golden checkpoints."""

from pathlib import Path

import keras

from t2t_keras import T2TViT, Variant

DATA = Path(__file__).parents[1] / "goldens"


def tiny_variant(token_type: str = "performer", **fields) -> Variant:
    sizes = {
        "embed_dim": 32,
        "depth": 3,
        "num_heads": 2,
        "mlp_ratio": 3.0,
        "token_dim": 16,
        "image_size": 64,
        "token_type": token_type,
    }
    return Variant(**{**sizes, **fields})


def tiny_model(token_type: str = "performer", **kwargs) -> keras.Model:
    """Random weights and logits of 10 classes, unless said otherwise."""
    arguments = {"weights": None, "classes": 10, "classifier_activation": None, **kwargs}
    return T2TViT(tiny_variant(token_type), **arguments)
