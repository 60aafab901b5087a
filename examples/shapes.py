"""Red discs, green squares and blue crosses on noise: no download, and the answers are known."""

import numpy as np

NAMES = ("red disc", "green square", "blue cross")


def draw_shapes(
    count: int, size: tuple[int, int] = (48, 80), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One shape a picture, anywhere in it.

    Args:
        count: How many pictures.
        size: (height, width) in pixels.
        seed: Of everything that is drawn.

    Returns:
        (count, height, width, 3) uint8 pictures; (count,) the shapes' numbers in `NAMES`; (count,
        height, width) float32 masks, 1 inside the shape.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    labels = rng.integers(len(NAMES), size=count)
    radius = rng.uniform(0.14, 0.2, count)[:, None, None] * height
    centre_y = rng.uniform(radius, height - 1 - radius)
    centre_x = rng.uniform(radius, width - 1 - radius)
    y = np.abs(np.arange(height)[:, None] - centre_y) / radius
    x = np.abs(np.arange(width) - centre_x) / radius
    kinds = np.stack([np.hypot(x, y) <= 1, np.maximum(x, y) <= 1, _cross(x, y)])
    masks = kinds[labels, np.arange(count)]
    ground = rng.integers(20, 110, (count, height, width, 3))
    # A colour of one's own each, so that a small model learns them in seconds.
    colour = np.where(np.eye(3, dtype=bool)[labels], 250, 30)[:, None, None]
    images = np.where(masks[..., None], colour, ground).astype(np.uint8)
    return images, labels, masks.astype(np.float32)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.maximum(x, y) <= 1) & (np.minimum(x, y) <= 0.3)
