import numpy as np

from t2t_keras.data.pipeline import batch_names, steps_per_epoch, train_dataset
from t2t_keras.data.settings import AUGMENTATIONS
from t2t_keras.data.sources.source import open_source
from tests.support.images import encode


def test_the_names_are_those_of_the_batch_s_images(tmp_path):
    """Every image is one gray of its own, and its file is called so."""
    for part, step in (("train", 20), ("val", 100)):
        for name in ("ash", "elm"):
            (tmp_path / part / name).mkdir(parents=True)
            for gray in range(40 if name == "ash" else 45, 250, step):
                image = encode(np.full((8, 8, 3), gray, np.uint8), "PNG")
                (tmp_path / part / name / f"{gray}.png").write_bytes(image)
    source = open_source(tmp_path)
    steps = steps_per_epoch(source, 6)
    still = AUGMENTATIONS["none"]
    zero_one = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    batches = train_dataset(source, 8, 6, seed=3, epochs=2, augmentation=still, **zero_one)
    for number, (images, _) in enumerate(batches.as_numpy_iterator()):
        epoch, step = divmod(number, steps)
        names = batch_names(source, 6, 3, epoch, step)
        grays = [int(name.split("/")[-1].removesuffix(".png")) for name in names]
        assert grays == np.rint(images[:, 4, 4, 0] * 255).astype(int).tolist()


def test_records_say_which_places_they_had(digits):
    (line,) = batch_names(digits, 32, 0, 1, 2)
    assert line.endswith("places 64 to 95 of the order of epoch 2, from 0")
    assert "digits" in line
