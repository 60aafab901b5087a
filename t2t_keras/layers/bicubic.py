"""Bicubic interpolation as torch does it: a = -0.75, half-pixel centres, no antialias."""

from keras import ops

_A = -0.75


def _cubic(distance):
    """Keys' cubic kernel at distances of 0 to 2."""
    near = ((_A + 2) * distance - (_A + 3)) * distance * distance + 1
    far = ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A
    return ops.where(distance <= 1, near, far)


def interpolation_matrix(new_size, old_size: int):
    """(new_size, old_size) float32 weights: a column of old values times it is resized.

    Args:
        new_size: Number of values wanted; a Python integer or a scalar integer tensor.
        old_size: Number of values there are.
    """
    scale = old_size / ops.cast(new_size, "float32")
    centres = (ops.cast(ops.arange(new_size), "float32") + 0.5) * scale - 0.5
    below = ops.floor(centres)
    taps = ops.convert_to_tensor([-1.0, 0.0, 1.0, 2.0], dtype="float32")
    weights = _cubic(ops.abs((centres - below)[:, None] - taps))
    nearest = ops.cast(ops.clip(below[:, None] + taps, 0, old_size - 1), "int32")
    return ops.sum(weights[..., None] * ops.one_hot(nearest, old_size, dtype="float32"), axis=1)


def resize_grid(grid, height, width):
    """Resizes a (h, w, D) float32 grid of vectors to (height, width, D).

    Equals torch's `F.interpolate(mode="bicubic", align_corners=False)`; Keras' and TensorFlow's
    bicubic have a = -0.5.
    """
    old_height, old_width, dim = grid.shape
    rows = interpolation_matrix(height, old_height)
    columns = interpolation_matrix(width, old_width)
    grid = ops.matmul(rows, ops.reshape(grid, (old_height, old_width * dim)))
    return ops.matmul(columns, ops.reshape(grid, (height, old_width, dim)))
