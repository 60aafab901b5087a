"""Writes a model for production.

    python -m t2t_keras.export MODEL --format=onnx --quantize=int8

MODEL is a run's folder, a .keras file, an official checkpoint, a file of weights with --model,
or a variant's name, which stands for the authors' released weights. The result is a folder with the
next free number, whole or not there.
"""

from absl import app, flags

from t2t_keras.commands import export as command
from t2t_keras.export.exchange import QUANTIZED
from t2t_keras.images.constants import STATISTICS

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "format",
    command.SAVED_MODEL,
    command.FORMATS,
    "savedmodel for TensorFlow Serving, with decoding and resizing inside; the others take pixels.",
)
flags.DEFINE_enum(
    "quantize", None, QUANTIZED, "Smaller weights, for onnx, litert and openvino; none by default."
)
flags.DEFINE_string("model", None, "The variant of a file of weights, such as t2t_vit_14.")
flags.DEFINE_string("weights", None, "Of a variant given by its name; imagenet by default.")
flags.DEFINE_string(
    "labels", None, "A text file with a class a line; by default the run's classes, or ImageNet's."
)
flags.DEFINE_list(
    "image_size", None, "A side in pixels, or HEIGHTxWIDTH; by default what the weights are for."
)
flags.DEFINE_float(
    "crop_pct", None, "Share of the resized side that the evaluation's crop keeps, in (0, 1]."
)
flags.DEFINE_enum(
    "statistics", None, list(STATISTICS), "Whose mean and deviation pictures are normalised by."
)
flags.DEFINE_list("mean", None, "Of red, green and blue, in 0..1, in place of --statistics.")
flags.DEFINE_list("std", None, "Of red, green and blue, in 0..1, in place of --statistics.")
flags.DEFINE_integer("num_heads", None, "Attention heads, for sizes nobody published.")
flags.DEFINE_string(
    "output", None, "Folder of the versions; by default the run's, or saved_models/NAME."
)
flags.DEFINE_integer("version", None, "The version's number; the next free one by default.")
flags.DEFINE_integer("top", None, "How many classes a SavedModel names for each picture; 5.")
flags.DEFINE_list(
    "warm_up_batches", None, "Numbers of pictures in the SavedModel's warm-up requests; 1,8."
)
flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")


def _numbers(name: str, kind: type) -> tuple:
    given = getattr(FLAGS, name) or ()
    try:
        return tuple(kind(number) for number in given)
    except ValueError:
        raise app.UsageError(f"--{name} must be numbers with commas between") from None


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        raise app.UsageError("expected one argument, MODEL; all else is a --flag=VALUE")
    return command.run(
        command.ExportCommand(
            source=argv[1],
            format=FLAGS.format,
            quantize=FLAGS.quantize,
            model_name=FLAGS.model,
            weights=FLAGS.weights,
            labels=FLAGS.labels,
            image_size=FLAGS.image_size,
            num_heads=FLAGS.num_heads,
            crop_pct=FLAGS.crop_pct,
            statistics=FLAGS.statistics,
            mean=_numbers("mean", float) or None,
            std=_numbers("std", float) or None,
            output=FLAGS.output,
            version=FLAGS.version,
            top=FLAGS.top,
            warm_up_batches=_numbers("warm_up_batches", int),
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    app.run(main)
