"""How good a run's model is, and what stands in the way of saying so."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from t2t_keras.data import WHOLE, Share, Source, eval_dataset, picture_errors
from t2t_keras.errors import DataError, TrainingError
from t2t_keras.training.batches import padded
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import (
    Batches,
    Devices,
    check_global_batch,
    lost_process,
    make_devices,
)
from t2t_keras.training.model import (
    build_model,
    check_freeze,
    check_run_weights,
    load_run_weights,
    precision,
)
from t2t_keras.training.optimization import check_parts
from t2t_keras.training.recipes import variant_of
from t2t_keras.training.scores import Scores, score
from t2t_keras.training.sources import open_test_source, usable_test_source


def check_run(config: TrainConfig, parts: int = 1) -> Devices:
    """Finds a run's devices; refuses, before any work, settings that do not go with them or others.

    Args:
        config: The settings.
        parts: Number of parts that each device takes its share of a batch in.

    Raises:
        ValueError: A setting does not fit the model, this machine or Keras' backend.
    """
    check_run_weights(config)
    check_parts(parts)
    devices = make_devices(config.devices)
    processes = devices.processes.count
    check_freeze(config.freeze, variant_of(config.model).depth, processes)
    check_global_batch(config.batch_size, devices.replicas, parts, processes)
    return devices


def validation_batches(
    config: TrainConfig, source: Source, share: Share = WHOLE
) -> tf.data.Dataset:
    """Every evaluation picture with its weight; label smoothing belongs to training alone."""
    batches = eval_dataset(
        source,
        config.image_size,
        config.batch_size,
        crop_pct=config.crop_pct,
        share=share,
        **config.colours,
    )
    return padded(batches, config.batch_size, source.num_eval, share).prefetch(tf.data.AUTOTUNE)


@contextlib.contextmanager
def known_errors() -> Iterator[None]:
    """Names the picture that cannot be read, the full disk, or what memory hangs on."""
    try:
        with picture_errors(), lost_process():
            yield
    except (tf.errors.ResourceExhaustedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        if "No space left" in str(error):  # TensorFlow's name for a full disk too
            raise TrainingError(
                f"The disk is full: {error}. Make room and start the same command again."
            ) from error
        raise TrainingError(
            "Memory is full. Give a smaller --batch_size, --image_size or model, or "
            "--precision=bfloat16."
        ) from error


def measure(
    model: keras.Model,
    config: TrainConfig,
    source: Source,
    verbose: int,
    feed: Callable[[tf.data.Dataset], Batches] = lambda batches: batches,
) -> Scores:
    """Scores of a model that gives logits, on the evaluation pictures; `feed` is its devices'."""
    with known_errors():
        batches = feed(validation_batches(config, source))
        logits = model.predict(batches, verbose=verbose)[: source.num_eval]
        return score(logits, source.eval_split.every_label())


def evaluate(config: TrainConfig, class_names: Sequence[str] = (), verbose: int = 0) -> Scores:
    """Measures the run's `weights` on the evaluation pictures of its data set.

    Args:
        config: The settings.
        class_names: The classes the weights were trained on; none where they are not known.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line.

    Raises:
        ValueError: A setting does not fit the data set or this machine.
        DataError: The data set, or a picture in it, cannot be used, or its classes are others.
        CheckpointError: The weights are damaged or do not fit.
    """
    devices = check_run(config)
    source = usable_test_source(open_test_source(config), config)
    if class_names and tuple(class_names) != source.class_names:
        raise DataError(
            f"{config.dataset}: its classes are {_short(source.class_names)}, those of "
            f"{config.weights} are {_short(class_names)}. Evaluate on a data set of the same "
            "classes, in the same order."
        )
    with devices.building(), precision(config.precision):
        model = build_model(config, source.num_classes, None, drop_path_rate=0.0)
        load_run_weights(model, config, complete=True)
        model.compile(jit_compile=devices.compiles(config.jit_compile))
    with devices.fitting():
        return measure(model, config, source, verbose, devices.feed)


def _short(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}, ...)"
