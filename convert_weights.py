"""Converts an official T2T-ViT checkpoint (.pth, .pth.tar) to a file that Keras reads.

    python convert_weights.py --source=81.5_T2T_ViT_14.pth.tar --target=t2t_vit_14.weights.h5

The variant, image size and number of classes are read off the checkpoint's shapes. Every key is
listed with where it went; the exit code is 0 only if all went in.
"""

import os

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_string("source", None, "The official checkpoint: a .pth or .pth.tar file.")
flags.DEFINE_string(
    "target",
    None,
    "The file to write: .weights.h5 (weights), .keras (model and weights) or .safetensors (weights "
    "under the authors' keys).",
)
flags.DEFINE_string(
    "model", None, "The published variant, such as t2t_vit_14_resnext, where shapes say another."
)
flags.DEFINE_integer(
    "num_heads", None, "Attention heads, for sizes that nobody published.", lower_bound=1
)
flags.DEFINE_string(
    "key",
    "auto",
    "Which state dict: auto takes state_dict_ema, state_dict, net or the file itself, the first "
    "there is.",
)
flags.DEFINE_string("sha256", None, "The source's SHA-256, checked before anything is read.")
flags.DEFINE_boolean(
    "verify", False, "Read the written file back and compare the two models' outputs."
)
flags.DEFINE_boolean("overwrite", False, "Replace the target where there is one.")
flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")


def main(argv) -> int:
    if len(argv) > 1:
        raise SystemExit(f"error: unexpected argument {argv[1]!r}: every setting is a --flag=VALUE")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Only now: a wrong flag or --help needs no TensorFlow, which takes seconds to import.
    from t2t_keras.cli import convert as command

    return command.run(
        command.ConvertConfig(
            source=FLAGS.source,
            target=FLAGS.target,
            model_name=FLAGS.model,
            num_heads=FLAGS.num_heads,
            key=FLAGS.key,
            sha256=FLAGS.sha256,
            verify=FLAGS.verify,
            overwrite=FLAGS.overwrite,
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["source", "target"])
    app.run(main)
