"""Records of whatever bytes they are given: in bare shards, and as a dataset that TFDS writes."""

import tensorflow as tf
import tensorflow_datasets as tfds


def write_shards(folder, shards) -> tuple[tuple[str, int, int], ...]:
    """Writes a TFRecord file of each list of records; returns them as `RecordSplit.shards`."""
    written = []
    for number, records in enumerate(shards):
        path = str(folder / f"shard{number}")
        with tf.io.TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
        written.append((path, 0, len(records)))
    return tuple(written)


class AnyImages(tfds.core.GeneratorBasedBuilder):
    """Encoded images in the order of their names, a split a group of them, with two labels."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None
    given: dict[str, list[bytes]] = {}

    def _info(self):
        label = tfds.features.ClassLabel(names=["left", "right"])
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": label}),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in self.given}

    def _generate_examples(self, name):
        for number, image in enumerate(self.given[name]):
            yield number, {"image": image, "label": number % 2}


def prepare(given: dict[str, list[bytes]], data_dir) -> tfds.core.DatasetBuilder:
    """Writes the images of each split, an even number labeled 0 and an odd one 1."""
    AnyImages.given = given
    builder = AnyImages(data_dir=str(data_dir))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )
    return builder
