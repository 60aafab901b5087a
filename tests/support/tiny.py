"""The tiny model of the golden checkpoints."""

import keras
import numpy as np

from t2t_keras import T2TViT, Variant


def tiny_variant(token_type: str = "performer", **fields) -> Variant:
    encoder = {"embed_dim": 32, "depth": 3, "num_heads": 2, "mlp_ratio": 3.0}
    stem = {"token_dim": 16, "image_size": 64, "token_type": token_type}
    return Variant(**{**encoder, **stem, **fields})


def tiny_model(token_type: str = "performer", **kwargs) -> keras.Model:
    """Random weights and logits of 10 classes, unless said otherwise."""
    arguments = {"weights": None, "classes": 10, "classifier_activation": None, **kwargs}
    return T2TViT(tiny_variant(token_type), **arguments)


def outputs_of(model: keras.Model, inputs) -> np.ndarray:
    """The model's output, by the way that takes the backend the least time for one batch.

    TensorFlow takes longer to make a graph than to run it; JAX compiles, at best once for all ops.
    """
    if keras.backend.backend() == "tensorflow":
        return keras.ops.convert_to_numpy(model(inputs))
    return model.predict(inputs, verbose=0)
