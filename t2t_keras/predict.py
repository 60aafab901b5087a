"""Names what is on pictures: `python -m t2t_keras.predict MODEL PICTURES...`

    python -m t2t_keras.predict saved_models/RUN cat.jpg
    python -m t2t_keras.predict model.keras pictures/ --top 3 --output predictions.csv

MODEL is a .keras file, a SavedModel, a run's folder or an official .pth or .pth.tar checkpoint;
PICTURES are files, and folders with all that lies below them. The exit code is 1 where a picture
could not be read; the others are classified all the same.
"""

from absl import app, flags

from t2t_keras.commands import predict as command

FLAGS = flags.FLAGS


def _define() -> None:
    flags.DEFINE_integer("top", 5, "Likeliest classes of each picture.")
    flags.DEFINE_string(
        "output", None, "CSV file: file, rank, class, probability (default: lines on the screen)."
    )
    flags.DEFINE_integer("batch_size", 32, "Pictures at a time.")
    flags.DEFINE_string("labels", None, "Class names, one a line (default: the model's own).")
    flags.DEFINE_integer("num_heads", None, "Attention heads, for sizes nobody published.")
    flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")


def main(argv: list[str]) -> int:
    """Reads the command line and predicts; returns the exit code."""
    if len(argv) < 3:
        raise app.UsageError("give a MODEL and at least one picture or folder")
    return command.run(
        command.PredictCommand(
            model=argv[1],
            pictures=tuple(argv[2:]),
            top=FLAGS.top,
            output=FLAGS.output,
            batch_size=FLAGS.batch_size,
            labels=FLAGS.labels,
            num_heads=FLAGS.num_heads,
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    _define()
    FLAGS.set_gnu_getopt(True)  # flags may follow the pictures
    app.run(main)
