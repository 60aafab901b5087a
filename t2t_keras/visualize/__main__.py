"""Shows what a model sees in an image, as a PNG file.

    python -m t2t_keras.visualize MODEL IMAGE --what=attention --output=attention.png

MODEL is a run's folder, a `.keras` file, an official checkpoint, another file of weights (then
--model names its variant), or the name of a variant, with the authors' released weights.
"""

from absl import app, flags

from t2t_keras.cli import visualize as command
from t2t_keras.images.constants import STATISTICS

FLAGS = flags.FLAGS

flags.DEFINE_enum(
    "what",
    "attention",
    ["attention", "rollout", "features", "gradcam", "tokens"],
    "attention: what the class token, or with a stage of the stem as --block the point --at, "
    "attends to. rollout: the same through all blocks together. features: channels of --block. "
    "gradcam: what speaks for --class_index. tokens: what is like the point --at.",
)
flags.DEFINE_string("output", None, "The PNG file to write.")
flags.DEFINE_string(
    "block",
    None,
    "A stage (t2t_block_0, t2t_block_1, project) or an encoder block, by name or number (default: "
    "all for attention, the first stage for features, else the last).",
)
flags.DEFINE_string("class_index", None, "A class by number or name (default: the likeliest).")
flags.DEFINE_list("at", None, "y,x in pixels of the image as the model takes it (default: center).")
flags.DEFINE_integer("channels", 32, "How many channels, the most varied first.", lower_bound=1)
flags.DEFINE_list("image_size", None, "Side in pixels, or HEIGHTxWIDTH (default: the model's).")
flags.DEFINE_float("crop_pct", None, "Fraction of the resized side that the crop keeps.")
flags.DEFINE_enum(
    "statistics",
    None,
    list(STATISTICS),
    "Whose mean and deviation images are normalized by (default: the model's).",
)
flags.DEFINE_string("model", None, "The variant of a file of weights.")
flags.DEFINE_string("weights", None, "Of a variant given by its name (default: imagenet).")
flags.DEFINE_string("labels", None, "Class names, one a line (default: the model's).")
flags.DEFINE_integer("num_heads", None, "Attention heads, for sizes nobody published.")
flags.DEFINE_boolean("overwrite", False, "Replace the output where there is one.")
flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")


def main(argv) -> int:
    if len(argv) != 3:
        raise app.UsageError("expected two arguments, MODEL and IMAGE; all else is a --flag=VALUE")
    return command.run(
        command.VisualizeCommand(
            source=argv[1],
            image=argv[2],
            what=FLAGS.what,
            output=FLAGS.output,
            block=FLAGS.block,
            class_index=FLAGS.class_index,
            at=FLAGS.at,
            channels=FLAGS.channels,
            image_size=FLAGS.image_size,
            crop_pct=FLAGS.crop_pct,
            statistics=FLAGS.statistics,
            model=FLAGS.model,
            weights=FLAGS.weights,
            labels=FLAGS.labels,
            num_heads=FLAGS.num_heads,
            overwrite=FLAGS.overwrite,
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    app.run(main)
