"""Red discs, green squares and blue crosses on noise: no download, and the answers are known.

    python examples/shapes.py

trains the small model that the notebook looks into, in minutes on a CPU, and writes `shapes.keras`.
"""

import logging
from pathlib import Path

import keras
import numpy as np

import t2t_keras

_log = logging.getLogger(__name__)

MODEL = Path(__file__).with_name("shapes.keras")
NAMES = ("red disc", "green square", "blue cross")


def draw_shapes(
    count: int, size: tuple[int, int] = (48, 80), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One shape an image, anywhere in it.

    Args:
        count: How many images.
        size: (height, width) in pixels.
        seed: Of everything that is drawn.

    Returns:
        (count, height, width, 3) uint8 images; (count,) the shapes' numbers in `NAMES`; (count,
        height, width) float32 masks, 1 inside the shape.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    labels = rng.integers(len(NAMES), size=count)
    radius = rng.uniform(0.14, 0.2, count)[:, None, None] * height
    center_y = rng.uniform(radius, height - 1 - radius)
    center_x = rng.uniform(radius, width - 1 - radius)
    y = np.abs(np.arange(height)[:, None] - center_y) / radius
    x = np.abs(np.arange(width) - center_x) / radius
    kinds = np.stack([np.hypot(x, y) <= 1, np.maximum(x, y) <= 1, _cross(x, y)])
    masks = kinds[labels, np.arange(count)]
    ground = rng.integers(20, 110, (count, height, width, 3))
    # A color of its own for each shape, so that a small model learns them in minutes.
    color = np.where(np.eye(3, dtype=bool)[labels], 250, 30)[:, None, None]
    images = np.where(masks[..., None], color, ground).astype(np.uint8)
    return images, labels, masks.astype(np.float32)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.maximum(x, y) <= 1) & (np.minimum(x, y) <= 0.3)


def small_model() -> keras.Model:
    """A T2T-ViT of three blocks with a token every 8 pixels, for images of 48 x 80."""
    variant = t2t_keras.Variant(
        embed_dim=48,
        depth=3,
        num_heads=3,
        mlp_ratio=2.0,
        token_dim=16,
        soft_splits=((7, 4, 2), (3, 2, 1), (3, 1, 1)),
    )
    return t2t_keras.T2TViT(variant, input_shape=(48, 80, 3), classes=len(NAMES), name="shapes")


def train(epochs: int = 40, count: int = 512) -> keras.Model:
    """Trains the model; no image comes twice."""
    model = small_model()
    trained = keras.Model(model.input, model.output)  # so that no optimizer is saved with `model`
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * count // 16)
    trained.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy")
    for epoch in range(epochs):
        images, labels, _ = draw_shapes(count, seed=100 + epoch)
        trained.fit(t2t_keras.preprocess_input(images), labels, batch_size=16, verbose=0)
    return model


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    keras.utils.set_random_seed(0)
    train().save(MODEL)
    _log.info("wrote %s", MODEL)
