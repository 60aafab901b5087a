"""Trains and evaluates Tokens-to-Token Vision Transformers.

Without flags: a small T2T-ViT on handwritten digits, in minutes on a CPU, with no download.

    python train_keras.py
    python train_keras.py --dataset=cifar10 --model=t2t_vit_7 --image_size=32 --batch_size=128
    python train_keras.py --dataset=images/ --weights=imagenet --model=t2t_vit_14 --epochs=10
    python train_keras.py --mode=eval --weights=saved_models/RUN

A flag that is not given takes the value of the recipe for the dataset and the model: the authors'
for ImageNet, our own for the digits. --flagfile=FILE reads flags from a file.
"""

import os
import tomllib
from pathlib import Path

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_enum("mode", "train", ["train", "eval"], "Train, or only evaluate --weights.")
flags.DEFINE_string("output_dir", "saved_models", "Folder of all runs.")
flags.DEFINE_string("run_name", None, "Folder of this run (default: time, model and size).")
flags.DEFINE_integer(
    "verbose",
    None,
    "0: a line an epoch; 1: Keras' bar too; 2: a line every --log_every steps (default: 1 on a "
    "terminal, else 2).",
    lower_bound=0,
    upper_bound=2,
)
flags.DEFINE_boolean(
    "resume", True, "Go on with --run_name, or with the newest unfinished run of these settings."
)
flags.DEFINE_list("override", [], "Settings that a run may change as it goes on, as lr,epochs.")
flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0 of several on JAX; or auto.")
flags.DEFINE_integer("num_processes", None, "Number of processes that train together.")
flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")
flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")

# A table, not code: to read it loads no TensorFlow, as importing anything of the package would.
_TABLE = tomllib.loads(
    (Path(__file__).parent / "t2t_keras" / "cli" / "flags.toml").read_text("utf-8")
)
_DEFINERS = {
    "strings": flags.DEFINE_string,
    "lists": flags.DEFINE_list,
    "integers": flags.DEFINE_integer,
    "floats": flags.DEFINE_float,
    "booleans": flags.DEFINE_boolean,
}
for _kind, _define in _DEFINERS.items():
    for _name, _help in _TABLE[_kind].items():
        _define(_name, None, _help)
for _name, _enum in _TABLE["enums"].items():
    flags.DEFINE_enum(_name, None, _enum["values"], _enum["help"])
SETTINGS = tuple(name for texts in _TABLE.values() for name in texts)


def main(argv) -> int:
    if len(argv) > 1:
        raise SystemExit(f"error: unexpected argument {argv[1]!r}: every setting is a --flag=VALUE")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow keeps the memory of batches, which the system else clears anew for each.
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
    # Only now: a wrong flag or --help needs no TensorFlow, which takes seconds to import.
    from t2t_keras.cli import train as command

    return command.run(
        command.TrainCommand(
            mode=FLAGS.mode,
            settings={name: FLAGS[name].value for name in SETTINGS},
            output_dir=FLAGS.output_dir,
            run_name=FLAGS.run_name,
            verbose=FLAGS.verbose,
            resume=FLAGS.resume,
            override=tuple(FLAGS.override),
            together=(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id),
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    app.run(main)
