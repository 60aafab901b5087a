"""Trains a small segmentation head on the maps of a small T2T-ViT.

    python examples/segmentation.py

The images are synthetic shapes, 48 x 80 pixels. With `t2t_keras.T2TViT14()` in place of
`small_model()` the head uses pretrained maps, of images of any size.
"""

import logging

import keras
import numpy as np
from shapes import draw_shapes

import t2t_keras

SIZE = (48, 80)
_log = logging.getLogger(__name__)


def small_model() -> keras.Model:
    """A T2T-ViT of two blocks, with random weights."""
    variant = t2t_keras.Variant(
        embed_dim=48, depth=2, num_heads=4, mlp_ratio=2.0, token_dim=16, token_type="convolution"
    )
    return t2t_keras.T2TViT(variant, include_top=False, input_shape=(*SIZE, 3))


def segmenter(model: keras.Model) -> keras.Model:
    """A model's maps at three strides, brought to the finest, then to the image's size.

    Args:
        model: A model of this package for images whose sides are multiples of 16 pixels.

    Returns:
        A model from images to (B, H, W, 1) logits of what belongs to a shape.
    """
    backbone = t2t_keras.features(model)
    strides = t2t_keras.feature_strides(model)
    finest = strides[0]
    maps = []
    for stride, feature_map in zip(strides, backbone.outputs, strict=True):
        narrow = keras.layers.Conv2D(16, 1)(feature_map)
        maps.append(keras.layers.UpSampling2D(stride // finest, interpolation="bilinear")(narrow))
    merged = keras.layers.Activation("relu")(keras.layers.Add()(maps))
    # Every cell of the finest map predicts the `finest` x `finest` pixels around its center.
    answers = keras.layers.Conv2D(finest * finest, 3, padding="same")(merged)
    height, width = (side // finest for side in SIZE)
    answers = keras.layers.Reshape((height, width, finest, finest))(answers)
    answers = keras.layers.Permute((1, 3, 2, 4))(answers)
    return keras.Model(model.input, keras.layers.Reshape((*SIZE, 1))(answers))


def intersection_over_union(logits: np.ndarray, masks: np.ndarray) -> float:
    """Pixels that are in both the answer and the shape, over those in either."""
    found, true = logits[..., 0] > 0, masks > 0.5
    return float((found & true).sum() / (found | true).sum())


def train(epochs: int = 6, count: int = 512) -> float:
    """Trains on shapes and returns the intersection over union on others."""
    images, _, masks = draw_shapes(count, SIZE, seed=1)
    model = segmenter(small_model())
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(3e-3), loss)
    model.fit(
        *(t2t_keras.preprocess_input(images), masks[..., None]),
        batch_size=16,
        epochs=epochs,
        verbose=0,
    )
    images, _, masks = draw_shapes(64, SIZE, seed=2)
    logits = model.predict(t2t_keras.preprocess_input(images), verbose=0)
    return intersection_over_union(logits, masks)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keras.utils.set_random_seed(0)
    _log.info("intersection over union on images never seen: %.2f", train())
