"""Datasets of TensorFlow Datasets: their splits, and how records are read."""

import difflib
import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from t2t_keras.data.sources.splits import RecordSplit
from t2t_keras.errors import DataError

TRAIN_SPLIT = "train"
EVAL_SPLITS = ("validation", "test", "val", "valid", "dev", "eval")  # the first that exists
_INFO_NAME = "dataset_info.json"
# Some datasets need a package that TFDS does not install.
_UNUSABLE = (OSError, ValueError, AssertionError, ImportError, tf.errors.OpError)
_WINDOW_BYTES = 256 * 2**20  # of encoded records held to be permuted


def is_prepared(folder: str) -> bool:
    """Tells whether TFDS has prepared this folder: DATA_DIR/NAME[/CONFIG]/VERSION."""
    return tf.io.gfile.exists(os.path.join(os.path.expanduser(folder), _INFO_NAME))


def prepared_builder(folder: str) -> Any:
    """Opens a folder that TFDS has prepared, of whatever dataset; its code is not needed."""
    import tensorflow_datasets as tfds

    path = os.path.expanduser(folder)
    try:
        with tf.io.gfile.GFile(os.path.join(path, _INFO_NAME)) as file:
            json.load(file)  # what TFDS raises for a damaged one belongs to its own parser
        return tfds.builder_from_directory(path)
    except (*_UNUSABLE, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: TFDS cannot open what it prepared there ({error}). Prepare it again."
        ) from error


def tfds_builder(name: str, data_dir: str | os.PathLike | None) -> Any:
    """Finds a dataset by its TFDS name; downloads and prepares it where that was not done yet."""
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    plain = name.split("/")[0].split(":")[0]
    if plain not in known:
        near = difflib.get_close_matches(plain, ["digits", *known], n=3)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise DataError(
            f"{name!r}: neither an existing folder, nor 'digits', nor a TFDS dataset.{hint} "
            "Give images as a folder ROOT with ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg."
        )
    wrong_checksum = tfds.core.download.download_manager.NonMatchingChecksumError
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except (*_UNUSABLE, tfds.download.DownloadError, wrong_checksum) as error:
        advice = ""
        if isinstance(error, wrong_checksum):
            advice = (
                f" Start again, without what lies in {builder.data_dir_root}/downloads; if it "
                "stays so, a newer tensorflow-datasets may know the files."
            )
        reason = " ".join(str(error).split())
        raise DataError(f"TFDS cannot prepare {name!r}: {reason}{advice}") from error
    return builder


def names_of(builder: Any) -> tuple[str, ...]:
    """Reads the names of the labels; refuses a dataset that is not labeled images."""
    import tensorflow_datasets as tfds

    keys = builder.info.supervised_keys
    features = builder.info.features
    if (
        keys is None
        or not isinstance(features[keys[0]], tfds.features.Image)
        or not isinstance(features[keys[1]], tfds.features.ClassLabel)
    ):
        raise DataError(
            f"{builder.name!r}: not a dataset of images with one class label each "
            f"(TFDS' supervised keys: {keys}). Choose one for image classification."
        )
    return tuple(features[keys[1]].names)


def choose_splits(
    builder: Any, validation_split: float, evaluation_only: bool
) -> tuple[str | None, str]:
    """Names the splits to train on (None for evaluation only) and to evaluate on.

    `validation_split` is the fraction at the end of "train" that replaces an evaluation split.
    """
    names = list(builder.info.splits)
    if TRAIN_SPLIT not in names and not (evaluation_only and not validation_split):
        raise DataError(
            f"{builder.name!r}: has no {TRAIN_SPLIT!r} split, only {', '.join(names)}. "
            "Name the splits with `train_split` and `eval_split`."
        )
    if validation_split:
        size = builder.info.splits[TRAIN_SPLIT].num_examples
        kept = size - min(max(round(size * validation_split), 1), size - 1)
        return None if evaluation_only else f"{TRAIN_SPLIT}[:{kept}]", f"{TRAIN_SPLIT}[{kept}:]"
    for name in EVAL_SPLITS:
        if name in names:
            return None if evaluation_only else TRAIN_SPLIT, name
    raise DataError(
        f"{builder.name!r}: has no split to evaluate on, only {', '.join(names)}. "
        "Give `validation_split`, for example 0.1, or name one with `eval_split`."
    )


def record_split(builder: Any, name: str) -> RecordSplit:
    """Opens one split of a prepared dataset, given by TFDS' name or slice of it."""
    info = builder.info
    try:
        split = info.splits[name]
        instructions = split.file_instructions
    except (ValueError, KeyError, AssertionError) as error:
        raise DataError(
            f"{builder.name!r}: has no split {name!r} ({error}). Splits: {', '.join(info.splits)}."
        ) from error
    if not split.num_examples:
        raise DataError(f"{builder.name!r}: the split {name!r} is empty. Choose another.")
    if info.file_format.value != "tfrecord":
        raise DataError(
            f"{builder.name!r} is prepared as {info.file_format.value} in {builder.data_path}. "
            "Only TFRecord files are read; prepare it again with TFDS' default file format."
        )
    shards = tuple((os.fspath(part.filename), part.skip, part.take) for part in instructions)
    _check_readable([path for path, *_ in shards])
    total = sum(part.num_bytes for part in info.splits.values())
    record_bytes = max(total // max(info.splits.total_num_examples, 1), 1)
    return RecordSplit(
        size=split.num_examples,
        shards=shards,
        parse=_parser(info),
        window=max(min(_WINDOW_BYTES // record_bytes, split.num_examples), 1),
    )


def _check_readable(paths: list[str]) -> None:
    """Refuses a file that cannot be opened: see `graph.drop_failing`."""
    folders = {os.path.dirname(path) for path in paths}
    there = {os.path.join(at, name) for at in folders for name in tf.io.gfile.listdir(at)}
    for path in paths:
        if path not in there or ("://" not in path and not os.access(path, os.R_OK)):
            raise DataError(
                f"{path}: is missing or may not be read. Check its permissions, or remove "
                f"{os.path.dirname(path)} and prepare the dataset again."
            )


def _parser(info: Any) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    import tensorflow_datasets as tfds

    image_key, label_key = info.supervised_keys
    features = tfds.features.FeaturesDict({key: info.features[key] for key in info.supervised_keys})
    encoded = {image_key: tfds.decode.SkipDecoding()}

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = features.deserialize_example(record, decoders=encoded)
        return example[image_key], tf.cast(example[label_key], tf.int32)

    return parse
