"""From where a run stands to its end: the one place that calls `fit`."""

from collections.abc import Callable, Mapping

import keras

from t2t_keras.training.callbacks import Standing
from t2t_keras.training.devices import Batches


def fit_to_end(
    model: keras.Model,
    batches: Callable[[int], Batches],
    validation: Batches,
    standing: Standing,
    callbacks: list[keras.callbacks.Callback],
    epoch_logs: Mapping[str, float],
) -> None:
    """Trains what is left of a run.

    `fit` counts whole epochs of one length, so the rest of an epoch that was interrupted is a
    `fit` of its own.

    Args:
        model: Compiled.
        batches: A step, over all epochs -> the run's training batches from there on.
        validation: The evaluation batches.
        standing: Where the run stands; a callback moves it on.
        callbacks: Keras' own bar is not added.
        epoch_logs: The training logs of an epoch of which only the validation is left.
    """
    while not standing.finished:
        epoch = standing.epoch
        if not standing.steps_left:
            _validate(model, validation, standing, callbacks, epoch_logs)
            continue
        model.fit(
            batches(standing.step),
            validation_data=validation,
            initial_epoch=epoch,
            epochs=epoch + 1 if standing.step_in_epoch else standing.epochs,
            steps_per_epoch=standing.steps_left,
            shuffle=False,  # the batches come in an order of their own
            verbose=0,
            callbacks=callbacks,
        )


def _validate(
    model: keras.Model,
    validation: Batches,
    standing: Standing,
    callbacks: list[keras.callbacks.Callback],
    epoch_logs: Mapping[str, float],
) -> None:
    """Ends an epoch as `fit` would."""
    steps, epochs = standing.steps_per_epoch, standing.epochs
    listed = keras.callbacks.CallbackList(
        callbacks, model=model, verbose=0, epochs=epochs, steps=steps
    )
    listed.on_train_begin()
    listed.on_epoch_begin(standing.epoch)
    measured = model.evaluate(validation, callbacks=listed, return_dict=True)
    logs = {**epoch_logs, **{f"val_{name}": value for name, value in measured.items()}}
    listed.on_epoch_end(standing.epoch, logs)
    listed.on_train_end()
