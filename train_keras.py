"""Trains and evaluates Tokens-to-Token Vision Transformers.

Without flags: a small T2T-ViT on handwritten digits, in minutes on a CPU, with no download.

    python train_keras.py
    python train_keras.py --dataset=cifar10 --model=t2t_vit_7 --image_size=32 --batch_size=128
    python train_keras.py --dataset=pictures/ --weights=imagenet --model=t2t_vit_14 --epochs=10
    python train_keras.py --mode=eval --weights=saved_models/RUN

A flag that is not given takes the value of the recipe for the data set and the model: the authors'
for ImageNet, our own for the digits. --flagfile=FILE reads flags from a file.
"""

import os

from absl import app, flags

FLAGS = flags.FLAGS

flags.DEFINE_enum("mode", "train", ["train", "eval"], "Train, or only evaluate --weights.")
flags.DEFINE_string("output_dir", "saved_models", "Folder of all runs.")
flags.DEFINE_string("run_name", None, "Folder of this run (default: time, model and size).")
flags.DEFINE_integer(
    "verbose",
    None,
    "Keras' progress: 0 none, 1 a bar, 2 a line an epoch (default: 1 on a terminal, else 2).",
    lower_bound=0,
    upper_bound=2,
)
flags.DEFINE_boolean("debug", False, "Show the traceback of an error.")

# From here on: fields of TrainConfig. None stands for the recipe's value.
flags.DEFINE_string(
    "dataset",
    None,
    "digits; a folder with train/CLASS/* and val/CLASS/*, or CLASS/*; or a TFDS name such as "
    "cifar10 (default: digits).",
)
flags.DEFINE_string("data_dir", None, "Root of TFDS data sets (default: TFDS' own).")
flags.DEFINE_string(
    "model",
    None,
    "t2t_vit_digits (the digits' default), t2t_vit_7 (the others'), t2t_vit_10, _12, _14, _19, "
    "_24, t2t_vit_t_14, _t_19, _t_24, t2t_vit_14_resnext, _14_wide, _14_se, t2t_vit_16_ghost, "
    "t2t_vit_dense or t2t_vit_c_14.",
)
flags.DEFINE_string(
    "weights",
    None,
    "What to start from or to evaluate: imagenet (the authors' release, downloaded), a file "
    "(.weights.h5, .keras, .safetensors, .pth, .pth.tar) or a run's folder (default: random).",
)
flags.DEFINE_list(
    "image_size", None, "Side of the pictures in pixels, or height,width (default: the model's)."
)
flags.DEFINE_float(
    "crop_pct",
    None,
    "Share of the resized side the evaluation's centre crop keeps (default: 0.9, the digits' 1).",
)
flags.DEFINE_enum(
    "augment", None, ["none", "light", "crop_flip"], "Random crops in training: none, small "
    "shifts and scales, or random resized crops with mirroring."
)  # fmt: skip
flags.DEFINE_string(
    "rand_augment", None, "RandAugment's configuration, as rand-m9-mstd0.5-inc1, or none."
)
flags.DEFINE_float(
    "color_jitter", None, "Range of brightness, contrast and saturation, without RandAugment."
)
flags.DEFINE_float("erasing", None, "Probability of random erasing.")
flags.DEFINE_enum(
    "erasing_mode", None, ["const", "rand", "pixel"], "What erases: the mean, a colour, or noise "
    "(default: pixel)."
)  # fmt: skip
flags.DEFINE_float("mixup", None, "Mixup's alpha; 0 is none.")
flags.DEFINE_float("cutmix", None, "Cutmix's alpha; 0 is none.")
flags.DEFINE_float("mixup_prob", None, "Probability that a batch is mixed (default: 1).")
flags.DEFINE_float(
    "mixup_switch_prob", None, "Share of cutmix where --mixup and --cutmix are on (default: 0.5)."
)
flags.DEFINE_float(
    "held_out",
    None,
    "Share of a TFDS data set's training pictures to choose the best weights on, so that the test "
    "pictures stay unseen; 0 chooses on the test pictures.",
)
flags.DEFINE_enum(
    "monitor", None, ["val_accuracy", "val_loss"], "What the best weights are best in."
)
flags.DEFINE_float(
    "validation_split",
    None,
    "Share of the training pictures to test on, for a data set without test pictures.",
)
flags.DEFINE_string("train_split", None, "TFDS split to train on, as train[:90%].")
flags.DEFINE_string("eval_split", None, "TFDS split to evaluate on.")
flags.DEFINE_enum(
    "on_bad_image", None, ["stop", "skip"], "What a picture that cannot be read does: stop the run "
    "before it begins, or be left out and listed in skipped_files.txt (default: stop)."
)  # fmt: skip
flags.DEFINE_float("max_bad_fraction", None, "Share that may be left out (default: 0.01).")
flags.DEFINE_integer("batch_size", None, "Pictures in a batch, over all devices together.")
flags.DEFINE_integer("epochs", None, "Epochs of the cosine, the warm-up among them.")
flags.DEFINE_integer("warmup_epochs", None, "Epochs of linear warm-up.")
flags.DEFINE_integer("cooldown_epochs", None, "Epochs at --min_lr after the cosine's.")
flags.DEFINE_float("lr", None, "Peak learning rate; the authors' is for --batch_size=512.")
flags.DEFINE_float("min_lr", None, "Last learning rate (default: 1e-5).")
flags.DEFINE_float("warmup_lr", None, "First learning rate of the warm-up (default: 1e-6).")
flags.DEFINE_float("weight_decay", None, "AdamW's weight decay.")
flags.DEFINE_float("drop_path_rate", None, "Stochastic depth in the deepest block.")
flags.DEFINE_float("smoothing", None, "Label smoothing (default: 0.1).")
flags.DEFINE_enum(
    "precision", None, ["float32", "bfloat16", "float16"], "What to compute in; weights are "
    "float32 always (default: float32)."
)  # fmt: skip
flags.DEFINE_list(
    "devices", None, "Devices, as gpu:0,gpu:1 or cpu:0,cpu:1 (default: all GPUs, else the CPU)."
)
flags.DEFINE_integer("seed", None, "Of weights, order, crops and dropout (default: 42).")
flags.DEFINE_boolean(
    "jit_compile", None, "Compile with XLA, on one device: slower to start (default: for digits)."
)

_NOT_SETTINGS = ("mode", "output_dir", "run_name", "verbose", "debug")


def main(argv) -> int:
    if len(argv) > 1:
        raise SystemExit(f"error: unexpected argument {argv[1]!r}: every setting is a --flag=VALUE")
    own = [flag.name for flag in FLAGS.get_key_flags_for_module(argv[0])]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Only now: a wrong flag or --help needs no TensorFlow, which takes seconds to import.
    from t2t_keras.commands import train as command

    return command.run(
        command.TrainCommand(
            mode=FLAGS.mode,
            settings={name: FLAGS[name].value for name in own if name not in _NOT_SETTINGS},
            output_dir=FLAGS.output_dir,
            run_name=FLAGS.run_name,
            verbose=FLAGS.verbose,
        ),
        debug=FLAGS.debug,
    )


if __name__ == "__main__":
    app.run(main)
