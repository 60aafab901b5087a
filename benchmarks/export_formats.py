"""Every export of a run's model beside Keras: size, time a batch, agreement on test images.

    python -m benchmarks.export_formats --run=saved_models/RUN --batch_size=8 --rounds=30

The time is the median of `rounds` calls, each format in turn, in one process.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import app, flags

from t2t_keras.cli.models import OpenedModel, open_model, origin_of
from t2t_keras.data import eval_dataset, open_source
from t2t_keras.export import export_model, export_saved_model
from t2t_keras.images import preprocess_input
from t2t_keras.images.constants import IMAGENET_MEAN, IMAGENET_STD

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "The run's folder.", required=True)
flags.DEFINE_integer("batch_size", 8, "Images a timed call.", lower_bound=1)
flags.DEFINE_integer("rounds", 30, "Timed calls of each.", lower_bound=1)

FORMATS = ("onnx", "litert", "openvino")
FILES = [(name, how) for name in FORMATS for how in (None, "float16", "int8")]
Predict = Callable[[np.ndarray], np.ndarray]


def _onnx(folder: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    return lambda pixels: session.run(["probabilities"], {"image": pixels})[0]


def _litert(folder: Path) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=os.cpu_count())
    run = interpreter.get_signature_runner()
    return lambda pixels: run(image=pixels)["probabilities"]


def _openvino(folder: Path) -> Predict:
    import openvino

    exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where the processor has it
    compiled = openvino.compile_model(folder / "model.xml", config=exact)
    return lambda pixels: compiled({"image": pixels})["probabilities"]


def _saved_model(folder: Path) -> Predict:
    loaded = tf.saved_model.load(str(folder))

    def run(pixels: np.ndarray) -> np.ndarray:
        outputs = loaded.signatures["serving_default"](image=tf.constant(pixels))
        return tf.nn.softmax(outputs["logits"]).numpy()

    return run


def _test_images(folder: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the run's test images, and their labels."""
    settings = origin_of(folder).settings()
    source = open_source(settings["dataset"])
    dataset = eval_dataset(source, size, 64, crop_pct=settings["crop_pct"])
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    normal, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    pixels = np.round(255 * (normal * IMAGENET_STD + IMAGENET_MEAN)).astype("float32")
    return pixels, labels.argmax(-1) if labels.ndim > 1 else labels


def _exports(opened: OpenedModel, folder: Path) -> dict[str, tuple[Path, Predict]]:
    """Name -> where it was written, and what runs it."""
    given, prepared = (opened.model, opened.class_names), opened.preprocessing
    path = export_saved_model(*given, folder / "savedmodel", preprocessing=prepared)
    exports = {"savedmodel": (path, _saved_model(path))}
    for name, how in FILES:
        label = "-".join(filter(None, (name, how)))
        path = export_model(*given, folder / label, name, how, preprocessing=prepared)
        run = {"onnx": _onnx, "litert": _litert, "openvino": _openvino}[name]
        exports[label] = (path, run(path))
    return exports


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _report(runs: dict[str, Predict], sizes: dict[str, int], pixels, labels) -> None:
    batch = pixels[: FLAGS.batch_size]
    seconds = {name: [] for name in runs}
    for _ in range(FLAGS.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run(batch)
            seconds[name].append(time.perf_counter() - started)
    expected = runs["keras"](pixels)
    for name, run in runs.items():
        given = run(pixels)
        answers = given.argmax(1)
        sys.stdout.write(
            f"{name:16} {sizes[name] / 1e6:6.2f} MB  "
            f"{1000 * statistics.median(seconds[name]):7.2f} ms  "
            f"same answer {(answers == expected.argmax(1)).mean():7.2%}  "
            f"right {(answers == labels).mean():7.2%}  "
            f"largest difference {np.abs(given - expected).max():.1e}\n"
        )


def main(_) -> None:
    opened = open_model(FLAGS.run)
    pixels, labels = _test_images(FLAGS.run, opened.model.input_shape[1:3])
    in_graph = tf.function(opened.model)

    def keras_itself(batch: np.ndarray) -> np.ndarray:
        return in_graph(preprocess_input(batch), training=False).numpy()

    with tempfile.TemporaryDirectory() as folder:
        exports = _exports(opened, Path(folder))
        runs = {"keras": keras_itself, **{name: run for name, (_, run) in exports.items()}}
        sizes = {name: _size(path) for name, (path, _) in exports.items()}
        sizes["keras"] = (Path(FLAGS.run) / "model.keras").stat().st_size
        for run in runs.values():
            run(pixels[: FLAGS.batch_size])
        _report(runs, sizes, pixels, labels)


if __name__ == "__main__":
    app.run(main)
