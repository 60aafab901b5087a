"""Times the training pipeline with the authors' augmentation against Pillow and NumPy.

    python -m benchmarks.input_pipeline --pictures=512 --rounds=5

Both read the same 500 x 375 JPEGs, made of scikit-learn's photographs, in one process bound to one
processor core, in turn; the ratio is of each pair, and the median is what counts.
"""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from absl import app, flags
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.pillow_pipeline import pillow_batch
from benchmarks.timing import compare
from t2t_keras.data import open_source, train_dataset
from t2t_keras.training import make_config

FLAGS = flags.FLAGS
flags.DEFINE_integer("pictures", 512, "Pictures a timing.", lower_bound=64)
flags.DEFINE_integer("batch_size", 64, "Pictures a batch.", lower_bound=1)
flags.DEFINE_integer("image_size", 224, "Side of what comes out.", lower_bound=32)
flags.DEFINE_integer("rounds", 5, "Pairs timed, after one warm-up.", lower_bound=1)

_FILES = 64


def _write_pictures(root: Path) -> list[Path]:
    """JPEGs of two classes, each another cut-out of one of the two photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(_FILES):
        photo = Image.fromarray(load_sample_images().images[number % 2])
        left, top = rng.integers(0, 60), rng.integers(0, 40)
        window = (left, top, left + 516, top + 387)
        picture = photo.resize((500, 375), Image.Resampling.LANCZOS, box=window)
        path = root / "train" / f"class{number % 2}" / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=90)
        paths.append(path)
    for path in paths[:2]:
        copy = root / "val" / path.parent.name / path.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes())
    return paths


def main(_) -> None:
    # Before TensorFlow does anything: it starts as many threads as there are cores.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as root:
        paths = _write_pictures(Path(root))
        source = open_source(root)
        settings = make_config(dataset=root, model="t2t_vit_14")
        batch_size = min(FLAGS.batch_size, _FILES)
        steps = FLAGS.pictures // batch_size
        epochs = -(-steps // (_FILES // batch_size))
        dataset = train_dataset(
            source,
            FLAGS.image_size,
            batch_size,
            seed=0,
            epochs=epochs,
            augmentation=settings.augmentation,
        ).take(steps)
        rng = np.random.default_rng(0)

        def ours():
            for images, _ in dataset:
                images.numpy()

        def others():
            for _ in range(steps):
                pillow_batch(rng.choice(paths, batch_size), FLAGS.image_size, rng)

        compare(f"{steps * batch_size} pictures, Pillow and NumPy", others, ours, FLAGS.rounds)


if __name__ == "__main__":
    app.run(main)
