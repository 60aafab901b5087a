"""Names what is on images: `python -m t2t_keras.predict MODEL IMAGES...`

    python -m t2t_keras.predict saved_models/RUN cat.jpg
    python -m t2t_keras.predict model.keras images/ --top 3 --output predictions.csv

MODEL is a .keras file, a SavedModel, a run's folder or an official .pth or .pth.tar checkpoint;
IMAGES are files, and folders with all that lies below them. The exit code is 1 where an image
could not be read; the others are classified all the same.
"""

import dataclasses

from absl import app, flags

from t2t_keras.cli import predict as command
from t2t_keras.images.constants import STATISTICS


def define_flags(values: flags.FlagValues) -> None:
    """Adds the flags to `values`; they may stand behind the images too."""
    own = {"flag_values": values}
    flags.DEFINE_integer("top", 5, "Likeliest classes of each image.", **own)
    flags.DEFINE_string(
        "output", None, "CSV: file, rank, class, probability (default: lines on the screen).", **own
    )
    flags.DEFINE_integer("batch_size", 32, "Images at a time.", **own)
    flags.DEFINE_string("labels", None, "Class names, one a line (default: the model's).", **own)
    flags.DEFINE_integer("num_heads", None, "Attention heads, for sizes nobody published.", **own)
    flags.DEFINE_float(
        "crop_pct", None, "Fraction of the resized side that is kept (default: the model's).", **own
    )
    flags.DEFINE_enum(
        "statistics",
        None,
        list(STATISTICS),
        "Whose channel means and deviations images are normalized by (default: the model's).",
        **own,
    )
    flags.DEFINE_boolean("debug", False, "Show the traceback of an error.", **own)
    values.set_gnu_getopt(True)


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    """Predicts what the command line asks for.

    Args:
        argv: The program, MODEL and IMAGES, without flags.
        values: The flags, parsed.

    Returns:
        The exit code.
    """
    if len(argv) < 3:
        raise app.UsageError("give a MODEL and at least one image or folder")
    names = {field.name for field in dataclasses.fields(command.PredictCommand)}
    given = {name: values[name].value for name in names - {"model", "images"}}
    asked = command.PredictCommand(model=argv[1], images=tuple(argv[2:]), **given)
    return command.run(asked, debug=values.debug)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    app.run(main)
