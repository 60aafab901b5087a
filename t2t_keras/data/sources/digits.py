"""scikit-learn's handwritten digits as a TFDS dataset: the default, made without a network.

Importing this module registers the builder, so `tfds.load("digits")` knows it afterwards.
"""

import contextlib
import io
import logging
import os
import time
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

_SPLIT_SEED = 0
_TEST_SIZE = 360
_LEVELS = 16  # a pixel counts the dark dots of its 4 x 4 cell

_log = logging.getLogger(__name__)


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 digits of 43 writers, 8 x 8 gray: 1,437 to train on and 360 to test on, stratified."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    url_infos = None  # nothing is downloaded; TFDS' look-up needs a package it does not require

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Handwritten digits of the UCI repository, as scikit-learn ships them.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = np.round(digits.images * (255 / _LEVELS)).astype(np.uint8)[..., None]
        train, test = train_test_split(
            np.arange(len(images)),
            test_size=_TEST_SIZE,
            stratify=digits.target,
            random_state=_SPLIT_SEED,
        )
        return {
            name: self._generate_examples(images, digits.target, np.sort(indices))
            for name, indices in (("train", train), ("test", test))
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}


def prepare_digits(data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
    """Prepares the dataset, with the splits "train" and "test", unless it was prepared before."""
    builder = Digits(data_dir=data_dir)
    if builder.is_prepared():
        return builder
    started = time.monotonic()
    tfds_log = logging.getLogger("absl")
    level = tfds_log.level
    tfds_log.setLevel(logging.WARNING)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    finally:
        tfds.enable_progress_bar()
        tfds_log.setLevel(level)
    _log.info("digits: written to %s in %.1f s", builder.data_path, time.monotonic() - started)
    return builder
