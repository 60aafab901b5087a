"""Gradients of all devices: their sum, its norm, and loss scaling by it."""

from typing import Any

import keras
from keras import ops


def sum_over_devices(gradients: list) -> list:
    """Sums gradients over a `MirroredStrategy`'s devices, in a step that runs on each of them."""
    context = None
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # files with an optimizer open on JAX without it

        context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return gradients
    given = [gradient for gradient in gradients if gradient is not None]
    sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, given))
    return [None if gradient is None else next(sums) for gradient in gradients]


def clipped(gradients: list, limit: float) -> list:
    """Shrinks gradients together so that the norm over all of them is at most `limit`.

    Reference: `torch.nn.utils.clip_grad_norm_`, which divides by a norm that is 1e-6 larger.
    """
    squares = [ops.sum(ops.square(gradient)) for gradient in gradients if gradient is not None]
    factor = limit / ops.maximum(ops.sqrt(sum(squares)), limit)
    return [None if gradient is None else gradient * factor for gradient in gradients]


class SummedMixin(keras.optimizers.Optimizer):
    """Sums the gradients over all devices before anything else, and clips the sum.

    Keras sums last, and so would clip each device's gradients alone (tensorflow/tensorflow issue
    33929); its `LossScaleOptimizer` (keras-team/keras pull request 18691) checks the first device
    alone for overflow, and lets that of the others into the weights.
    """

    def __init__(self, *args: Any, clip_grad: float | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.clip_grad = clip_grad
        self.sums_gradients = True

    def apply(
        self, grads: list[Any], trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        grads = sum_over_devices(grads) if self.sums_gradients else grads
        grads = grads if self.clip_grad is None else clipped(grads, self.clip_grad)
        super().apply(grads, trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Replaces Keras' sum, which is done by then."""
        return grads_and_vars

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "clip_grad": self.clip_grad}


@keras.saving.register_keras_serializable(package="t2t_keras")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Dynamic loss scaling around an optimizer with a `SummedMixin`.

    A step in which a gradient of any device is not finite is skipped: the inner optimizer, its step
    count and average included, does not see it.
    """

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer, **kwargs: Any):
        super().__init__(inner_optimizer, **kwargs)
        self.inner_optimizer.sums_gradients = False

    def apply(
        self, grads: list[Any], trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        super().apply(sum_over_devices(grads), trainable_variables)
