"""Writes a model for production.

    python -m t2t_keras.export MODEL --format=onnx --quantize=int8

MODEL is a run's folder, a .keras file, an official checkpoint, a file of weights with --model,
or a variant's name, which stands for the authors' released weights. The result is a folder with the
next free number, whole or not there.
"""

from absl import app, flags

from t2t_keras.cli import export as command
from t2t_keras.export.exchange import QUANTIZED
from t2t_keras.images.constants import STATISTICS


def define_flags(values: flags.FlagValues) -> None:
    """Adds the flags to `values`."""
    own = {"flag_values": values}
    _define_what_is_written(own)
    _define_how_images_are_prepared(own)
    flags.DEFINE_string("model", None, "The variant of a file of weights: t2t_vit_14.", **own)
    flags.DEFINE_string("weights", None, "Of a variant given by its name (imagenet).", **own)
    flags.DEFINE_integer("num_heads", None, "Attention heads, for sizes nobody published.", **own)
    flags.DEFINE_string(
        "labels", None, "Class names, one a line (default: the run's, or ImageNet's).", **own
    )
    flags.DEFINE_boolean("debug", False, "Show the traceback of an error.", **own)


def _define_what_is_written(own: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_enum(
        "format",
        command.SAVED_MODEL,
        command.FORMATS,
        "savedmodel, for TensorFlow Serving, decodes and resizes by itself; others take pixels.",
        **own,
    )
    flags.DEFINE_enum(
        "quantize", None, QUANTIZED, "Smaller weights, for onnx, litert and openvino.", **own
    )
    flags.DEFINE_string(
        "output", None, "Folder of the versions (default: the run's, or saved_models/NAME).", **own
    )
    flags.DEFINE_integer("version", None, "The version's number (default: the next free).", **own)
    flags.DEFINE_integer("top", None, "Classes that a SavedModel names of each image (5).", **own)
    flags.DEFINE_list(
        "warm_up_batches", None, "Images in a SavedModel's warm-up requests (1,8).", **own
    )


def _define_how_images_are_prepared(own: dict[str, flags.FlagValues]) -> None:
    flags.DEFINE_list(
        "image_size", None, "A side in pixels, or HEIGHTxWIDTH (default: the weights').", **own
    )
    flags.DEFINE_float(
        "crop_pct", None, "Fraction of the resized side that the crop keeps, in (0, 1].", **own
    )
    flags.DEFINE_enum(
        "statistics",
        None,
        list(STATISTICS),
        "Whose mean and deviation images are normalized by (default: the model's).",
        **own,
    )
    flags.DEFINE_list("mean", None, "Of red, green and blue in 0..1, not --statistics.", **own)
    flags.DEFINE_list("std", None, "Of red, green and blue in 0..1, not --statistics.", **own)


def _numbers(values: flags.FlagValues, name: str, kind: type) -> tuple:
    given = values[name].value or ()
    try:
        return tuple(kind(number) for number in given)
    except ValueError:
        raise app.UsageError(f"--{name} must be numbers with commas between") from None


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Exports what the command line asks for.

    Args:
        argv: The program and MODEL, without flags.
        values: The flags, parsed.

    Returns:
        The exit code.
    """
    if len(argv) != 2:
        raise app.UsageError("expected one argument, MODEL; all else is a --flag=VALUE")
    same = ("format", "quantize", "weights", "labels", "image_size", "num_heads", "crop_pct")
    names = (*same, "statistics", "output", "version", "top")
    asked = command.ExportCommand(
        source=argv[1],
        model_name=values.model,
        mean=_numbers(values, "mean", float) or None,
        std=_numbers(values, "std", float) or None,
        warm_up_batches=_numbers(values, "warm_up_batches", int),
        **{name: values[name].value for name in names},
    )
    return command.run(asked, debug=values.debug)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
