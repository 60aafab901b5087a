"""A TFDS dataset of whatever bytes it is given, written by TFDS itself."""

import tensorflow_datasets as tfds


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
