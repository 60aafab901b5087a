"""What is handed to other formats: pixels of the model's size in, numbers of all classes out."""

import keras

from t2t_keras.export.classifier import features_and_logits
from t2t_keras.export.preprocessing import Preprocessing


def plain_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """A model that normalises by itself, and computes in float32 whatever it was trained in.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        preprocessing: What it was trained for; pictures are resized before they come here.

    Returns:
        A model from `image`, (B, H, W, 3) float32 RGB in 0..255, to `logits` and `probabilities`,
        (B, C) float32 of all classes in the order of the labels.
    """
    classify = features_and_logits(_in_float32(model))
    image = keras.Input(model.input_shape[1:], name="image")
    normalised = keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in preprocessing.std],
        offset=[
            -mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)
        ],
        dtype="float32",
    )(image)
    _, logits = classify(normalised)
    # Each output takes its name from the layer it comes from.
    logits = keras.layers.Identity(dtype="float32", name="logits")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(image, {"logits": logits, "probabilities": probabilities})


def _in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or one with its weights that computes without half precision."""
    policies = {layer.dtype_policy.name for layer in model.layers}
    mixed = {name for name in policies if name.startswith("mixed_")}
    if not mixed:
        return model
    architecture = model.to_json()
    for name in mixed:
        architecture = architecture.replace(f'"{name}"', '"float32"')
    twin = keras.models.model_from_json(architecture)
    twin.set_weights(model.get_weights())
    return twin
