"""The datasets of a run, checked, and batches that are read once."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from t2t_keras.data.inspection import CheckedSplits, check_images
from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.ops.seeds import SINGLE, Shard
from t2t_keras.data.sources.source import Source, is_folder, open_source
from t2t_keras.images.constants import STATISTICS, Color
from t2t_keras.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, eq=False)
class RunSources:
    """What a run reads.

    Args:
        training: Its training part is trained on; on its evaluation part the best weights are
            chosen.
        test: Its evaluation part is what the final accuracy is measured on.
        selected_on: Says in words what the best weights are chosen on.
    """

    training: Source
    test: Source
    selected_on: str


def normalization(config: TrainConfig) -> dict[str, Color]:
    """`mean` and `std` of each channel, in 0..1, that a run's images are normalized by."""
    return dict(zip(("mean", "std"), STATISTICS[config.statistics], strict=True))


def open_sources(config: TrainConfig) -> RunSources:
    """Opens the dataset of a run.

    Raises:
        DataError: There is no such dataset, or it cannot be used.
        ValueError: A setting does not fit it.
    """
    if config.held_out:
        return _with_held_out(config)
    source = open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        train_split=config.train_split,
        eval_split=config.eval_split,
    )
    words = f"the {source.num_eval} images that the test accuracy is measured on"
    return RunSources(source, source, words)


def open_test_source(config: TrainConfig) -> Source:
    """Opens a dataset to evaluate on alone; raises what `open_sources` raises."""
    return open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        eval_split=config.eval_split,
        evaluation_only=not config.validation_split,
    )


def checked_sources(
    sources: RunSources, config: TrainConfig, kept: Path | None = None
) -> tuple[RunSources, CheckedSplits]:
    """Looks at every image of a run once, before it costs anything.

    Args:
        sources: As `open_sources` makes them.
        config: Says what to do about bad images.
        kept: The run's folder where it goes on, so that unchanged files are not looked at again.

    Returns:
        The sources without what is left out, and what the run's folder is told with `write`.

    Raises:
        DataError: An image cannot be used; when skipping, too many, or all of a class.
    """
    training, test = sources.training, sources.test
    splits = {"train": training.train_split, "evaluation": training.eval_split}
    if test is not training:
        splits["test"] = test.eval_split
    usable = _usable(splits, training, config, kept)
    used = usable.splits
    training = dataclasses.replace(
        training, train_split=used["train"], eval_split=used["evaluation"]
    )
    if "test" not in used:
        return dataclasses.replace(sources, training=training, test=training), usable
    test = dataclasses.replace(test, eval_split=used["test"])
    return dataclasses.replace(sources, training=training, test=test), usable


def checked_test_source(source: Source, config: TrainConfig) -> Source:
    """The same for a dataset that is only evaluated on: once, so that only skipping needs a look.

    Raises:
        DataError: When skipping, too many images cannot be used, or all of a class.
    """
    if config.on_bad_image == "stop":
        return source
    usable = _usable({"evaluation": source.eval_split}, source, config, None)
    return dataclasses.replace(source, eval_split=usable.splits["evaluation"])


def _usable(splits, source: Source, config: TrainConfig, kept: Path | None) -> CheckedSplits:
    return check_images(
        splits, source.class_names, config.on_bad_image, config.max_bad_fraction, kept
    )


def _with_held_out(config: TrainConfig) -> RunSources:
    if is_folder(config.dataset, config.data_dir):
        raise ValueError(
            "`held_out` must be 0 for a folder of images; put the images to choose the weights "
            f"on into its val/ folder. Received: held_out={config.held_out}"
        )
    training = open_source(config.dataset, config.data_dir, validation_split=config.held_out)
    words = f"{training.num_eval} training images that were held out"
    return RunSources(training, open_test_source(config), words)


_MEMORY = 64 * 2**20  # bytes


@tf.autograph.experimental.do_not_convert  # no Python conditions on tensors
def padded(
    batches: tf.data.Dataset, batch_size: int, count: int, shard: Shard = SINGLE
) -> tf.data.Dataset:
    """Fills the last batch up with images of weight 0, so that every device gets a full share.

    Keras divides a batch's loss by its images, the fillers too, and averages over the batches:
    the weight of the others makes up for that, and loss and weighted metrics are exact.

    Args:
        batches: (images, (B, classes) targets); the last batch may be smaller, or missing where
            other processes have one.
        batch_size: Over all processes.
        count: Images in all, over all processes.
        shard: What this process takes.

    Returns:
        (images, targets, (size,) float32 weights), as many in every process; `size` is
        `shard.size(batch_size)`.
    """
    steps, size = -(-count // batch_size), shard.size(batch_size)
    weight = steps * batch_size / count

    def fill(images, targets):
        there = tf.shape(images)[0]
        weights = tf.cast(tf.fill((there,), weight), tf.float32)
        return tuple(_filled(part, size - there, size) for part in (images, targets, weights))

    filled = batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)
    if len(filled) == steps:
        return filled
    fillers = tuple(tf.zeros(spec.shape, spec.dtype) for spec in filled.element_spec)
    return filled.concatenate(tf.data.Dataset.from_tensors(fillers).repeat(steps - len(filled)))


def _filled(values: tf.Tensor, missing: tf.Tensor, batch_size: int) -> tf.Tensor:
    rest = values.shape[1:]
    filled = tf.pad(values, [[0, missing], *([[0, 0]] * len(rest))])
    return tf.ensure_shape(filled, (batch_size, *rest))


def kept_if_small(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Reads a dataset of a few MB once and keeps it.

    Keras starts a validation set anew twice an epoch. For a pipeline from files that takes a
    second each, for as small a set longer than training on it.

    Args:
        batches: Of known number and equal, known shapes.
    """
    spec = batches.element_spec
    batch_bytes = sum(math.prod(part.shape) * part.dtype.size for part in spec)
    if len(batches) * batch_bytes > _MEMORY:
        return batches
    columns = zip(*batches.as_numpy_iterator(), strict=True)
    kept = tf.data.Dataset.from_tensor_slices(tuple(np.stack(column) for column in columns))
    return kept.with_options(plain_options())
