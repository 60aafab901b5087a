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

# Fields of TrainConfig and what --help says of them, by kind; None stands for the recipe's value.
_STRINGS = {
    "dataset": "digits; a folder with train/CLASS/* and val/CLASS/*, or CLASS/*; or a TFDS name "
    "such as cifar10 (default: digits).",
    "data_dir": "Root of TFDS data sets (default: TFDS' own).",
    "eval_split": "TFDS split to evaluate on.",
    "model": "t2t_vit_digits (the digits' default), t2t_vit_7 (the others'), t2t_vit_10, _12, _14, "
    "_19, _24, t2t_vit_t_14, _t_19, _t_24, t2t_vit_14_resnext, _14_wide, _14_se, "
    "t2t_vit_16_ghost, t2t_vit_dense or t2t_vit_c_14.",
    "rand_augment": "RandAugment's configuration, as rand-m9-mstd0.5-inc1, or none.",
    "train_split": "TFDS split to train on, as train[:90%].",
    "weights": "What to start from or to evaluate: imagenet (the authors' release, downloaded), a "
    "file (.weights.h5, .keras, .safetensors, .pth, .pth.tar) or a run's folder (default: random).",
}
_LISTS = {
    "devices": "Devices, as gpu:0,gpu:1 or cpu:0,cpu:1 (default: all GPUs, else the CPU).",
    "image_size": "Side of the pictures in pixels, or height,width (default: the model's).",
}
_ENUMS = {
    "augment": (
        ["none", "light", "crop_flip"],
        "Random crops: none, small shifts and scales, or random resized crops with mirroring.",
    ),
    "erasing_mode": (["const", "rand", "pixel"], "What to erase with (default: pixel)."),
    "monitor": (["val_accuracy", "val_loss"], "What the best weights are best in."),
    "on_bad_image": (
        ["stop", "skip"],
        "Whether an unreadable picture stops the run before it begins, or is left out and listed "
        "in skipped_files.txt (default: stop).",
    ),
    "optimizer": (["adamw", "sgd", "lamb"], "What steps (default: adamw)."),
    "precision": (
        ["float32", "bfloat16", "float16"],
        "What to compute in; weights are float32 always (default: float32).",
    ),
}
_INTEGERS = {
    "accumulate": "Parts each device takes its share of a batch in (default: 1).",
    "batch_size": "Pictures in a batch, over all devices together.",
    "cooldown_epochs": "Epochs at --min_lr after the cosine's.",
    "epochs": "Epochs of the (first) cosine, the warm-up among them.",
    "log_every": "Steps between lines with --verbose=2 (default: 50).",
    "lr_cycle_limit": "Number of cosines (default: 1).",
    "save_every": "Steps between checkpoints; each epoch ends with one (default: 0, none).",
    "seed": "Of weights, order, crops and dropout (default: 42).",
    "warmup_epochs": "Epochs of linear warm-up.",
}
_FLOATS = {
    "clip_grad": "Highest norm of all gradients together (default: no limit).",
    "color_jitter": "Range of brightness, contrast and saturation, without RandAugment.",
    "crop_pct": "Share of the resized side the evaluation's crop keeps (default: 0.9, digits 1).",
    "cutmix": "Cutmix's alpha; 0 is none.",
    "drop_path_rate": "Stochastic depth in the deepest block.",
    "ema_decay": "Of the weights' moving average, as 0.99996 (default: 0, none).",
    "erasing": "Probability of random erasing.",
    "held_out": "Share of a TFDS data set's training pictures to choose the best weights on, so "
    "that the test pictures stay unseen; 0 chooses on the test pictures.",
    "lr": "Peak learning rate; the authors' is for --batch_size=512.",
    "lr_cycle_decay": "Rates of a cosine over those of the one before (default: 0.1).",
    "lr_cycle_mul": "Length of a cosine over that of the one before (default: 1).",
    "max_bad_fraction": "Share of the pictures that may be left out (default: 0.01).",
    "min_lr": "Last learning rate (default: 1e-5).",
    "mixup": "Mixup's alpha; 0 is none.",
    "mixup_prob": "Probability that a batch is mixed (default: 1).",
    "mixup_switch_prob": "Share of cutmix where --mixup and --cutmix are on (default: 0.5).",
    "smoothing": "Label smoothing (default: 0.1).",
    "validation_split": "Share of the training pictures to test on, where there are no others.",
    "warmup_lr": "First learning rate of the warm-up (default: 1e-6).",
    "weight_decay": "The optimizer's weight decay; sgd's is an L2 term.",
}
_BOOLEANS = {
    "jit_compile": "Compile with XLA, on one device: slower to start (default: for digits).",
}
for _define, _texts in (
    (flags.DEFINE_string, _STRINGS),
    (flags.DEFINE_list, _LISTS),
    (flags.DEFINE_integer, _INTEGERS),
    (flags.DEFINE_float, _FLOATS),
    (flags.DEFINE_boolean, _BOOLEANS),
):
    for _name, _text in _texts.items():
        _define(_name, None, _text)
for _name, (_values, _text) in _ENUMS.items():
    flags.DEFINE_enum(_name, None, _values, _text)
SETTINGS = (*_STRINGS, *_LISTS, *_ENUMS, *_INTEGERS, *_FLOATS, *_BOOLEANS)


def main(argv) -> int:
    if len(argv) > 1:
        raise SystemExit(f"error: unexpected argument {argv[1]!r}: every setting is a --flag=VALUE")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Only now: a wrong flag or --help needs no TensorFlow, which takes seconds to import.
    from t2t_keras.commands import train as command

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
