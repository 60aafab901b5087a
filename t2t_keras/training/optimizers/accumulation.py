"""Training on batches too large for a device: in parts, with one step for all of them."""

from typing import Any

import keras
import tensorflow as tf

from t2t_keras.errors import check


def check_parts(parts: int) -> None:
    """Raises a ValueError where batches cannot be trained on in so many parts."""
    check(parts >= 1, "parts", parts, "at least 1")
    possible = parts == 1 or keras.backend.backend() == "tensorflow"
    check(possible, "parts", parts, "1 (`accumulate=1`) unless KERAS_BACKEND=tensorflow")


def accumulating(model: keras.Model, parts: int) -> keras.Model:
    """Returns a model of the same layers whose training step computes its batch in parts.

    Args:
        model: A functional model with one output, as this package's functions build it.
        parts: Number of equal parts of each device's batch; 1 returns `model` itself.

    Raises:
        ValueError: `parts` is below 1, or Keras does not run on TensorFlow.
    """
    check_parts(parts)
    if parts == 1:
        return model
    in_parts = AccumulatingModel(model.inputs, model.outputs, name=model.name, parts=parts)
    in_parts.dtype_policy = model.dtype_policy
    return in_parts


class AccumulatingModel(keras.Model):
    """A functional model that sums the gradients of a batch's parts and takes one step.

    Schedule, weight average and step count see one step, as for the whole batch, and without
    dropout the result is the same except for rounding. Keras' `gradient_accumulation_steps` counts
    every part, and fails in any `MirroredStrategy` (`merge_call`, as in keras-team/keras issue
    17429).

    The equal `parts` must divide the batch of each device; the model has one output, and a loss
    that is a mean over the batch.
    """

    def __init__(self, *args: Any, parts: int, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parts = parts

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        given = (values for values in (x, y, sample_weight) if values is not None)
        gradients, loss, y_pred = self._sums([self._in_parts(values) for values in given])
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        loss_metric = next(metric for metric in self.metrics if metric.name == "loss")
        loss_metric.update_state(loss * replicas, sample_weight=tf.shape(y_pred)[0])
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _in_parts(self, values: Any) -> tf.Tensor:
        """(B, ...) as (parts, B / parts, ...)."""
        size = values.shape[0]
        expected = f"a multiple of the {self.parts} parts on each device (`accumulate`)"
        check(size is None or size % self.parts == 0, "batch_size", size, expected)
        return tf.reshape(values, tf.concat([[self.parts, -1], tf.shape(values)[1:]], axis=0))

    def _sums(self, in_parts: list[Any]) -> tuple[list[Any], tf.Tensor, tf.Tensor]:
        """The whole batch's gradients, loss and predictions, one part after the other."""

        def add_part(part: tf.Tensor, gradients: list, loss: tf.Tensor, predictions: Any) -> tuple:
            more, more_loss, y_pred = self._of_part(*(values[part] for values in in_parts))
            gradients = [sum(pair) for pair in zip(gradients, more, strict=True)]
            return part + 1, gradients, loss + more_loss, predictions.write(part, y_pred)

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self.trainable_variables]
        predictions = tf.TensorArray(self.outputs[0].dtype, self.parts)
        _, gradients, loss, predictions = tf.while_loop(
            lambda part, *_: part < self.parts,
            add_part,
            (tf.constant(0), zeros, tf.constant(0.0), predictions),
            parallel_iterations=1,  # several would need the memory of several
            maximum_iterations=self.parts,
        )
        y_pred = predictions.stack()
        shape = tf.concat([[-1], tf.shape(y_pred)[2:]], axis=0)
        return gradients, loss, tf.reshape(y_pred, shape)

    def _of_part(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[list[Any], tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight) / self.parts
            scaled = self.optimizer.scale_loss(loss)
        return tape.gradient(scaled, self.trainable_variables), loss, y_pred
