"""Times the training pipeline with the authors' augmentation against Pillow and NumPy.

    python -m benchmarks.input_pipeline --images=1024 --rounds=5

Both read the same 500 x 375 JPEGs, made of scikit-learn's photographs, in one process bound to one
processor core, in turn. Processor time is measured: other work on the machine counts less.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")  # as train_keras.py

import numpy as np
from absl import app, flags
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.pillow_pipeline import pillow_batch
from t2t_keras.data import open_source, train_dataset
from t2t_keras.training import make_config
from t2t_keras.training.inputs import augmentation_of

_FILES = 64

FLAGS = flags.FLAGS
flags.DEFINE_integer("images", 1024, "Images a timing, after a first batch.", lower_bound=64)
flags.DEFINE_integer("batch_size", 64, "Images a batch.", lower_bound=1, upper_bound=_FILES)
flags.DEFINE_integer("image_size", 224, "Side of what comes out.", lower_bound=32)
flags.DEFINE_integer("rounds", 5, "Pairs timed.", lower_bound=1)


def _write_images(root: Path) -> list[Path]:
    """JPEGs of two classes, each another cut-out of one of the two photographs."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(_FILES):
        photo = Image.fromarray(load_sample_images().images[number % 2])
        left, top = rng.integers(0, 60), rng.integers(0, 40)
        window = (left, top, left + 516, top + 387)
        image = photo.resize((500, 375), Image.Resampling.LANCZOS, box=window)
        path = root / "train" / f"class{number % 2}" / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=90)
        paths.append(path)
    for path in paths[:2]:
        copy = root / "val" / path.parent.name / path.name
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes())
    return paths


def _ours(root: str, steps: int) -> Callable[[], Iterator[object]]:
    """Starts the pipeline anew; it ends after `steps` + 1 batches, and no thread is left."""
    dataset = train_dataset(
        open_source(root),
        FLAGS.image_size,
        FLAGS.batch_size,
        seed=0,
        epochs=steps + 1,
        augmentation=augmentation_of(make_config(dataset=root, model="t2t_vit_14")),
    )
    return lambda: dataset.take(steps + 1).as_numpy_iterator()


def _pillow(paths: list[Path]) -> Iterator[object]:
    rng = np.random.default_rng(0)
    while True:
        yield pillow_batch(rng.choice(paths, FLAGS.batch_size), FLAGS.image_size, rng)


def _rate(batches: Iterator[object], steps: int) -> float:
    """Images a second of processor time, after a first batch."""
    next(batches)
    start = time.process_time()
    for _ in range(steps):
        next(batches)
    return steps * FLAGS.batch_size / (time.process_time() - start)


def main(_) -> None:
    # Before TensorFlow does anything: it starts as many threads as there are cores.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    steps = -(-FLAGS.images // FLAGS.batch_size)
    with tempfile.TemporaryDirectory() as root:
        paths = _write_images(Path(root))
        start = _ours(root, steps)
        pairs = [(_rate(_pillow(paths), steps), _rate(start(), steps)) for _ in range(FLAGS.rounds)]
    pillow, ours = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for other, one in pairs)
    sys.stdout.write(
        f"images per second and core: Pillow and NumPy {pillow:.0f}, ours {ours:.0f}, "
        f"ratio {ratio:.2f}\n"
    )


if __name__ == "__main__":
    app.run(main)
