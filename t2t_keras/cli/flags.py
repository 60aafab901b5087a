"""The flags and the help of every command; Keras and TensorFlow stay out, so that help is quick."""

import dataclasses
import os
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from t2t_keras.data.settings import Setting
from t2t_keras.errors import check
from t2t_keras.training.config import settings
from t2t_keras.training.recipes import make_config

FORMATS = ("savedmodel", "onnx", "litert", "openvino")
_WIDTH = 100


class _Numbers(flags.ArgumentParser):
    """Parses `count` numbers, or any, between commas or x; an image's size may be a single side."""

    def __init__(self, kind: type, count: int | None = None, is_size: bool = False):
        self._kind, self._count, self._is_size = kind, count, is_size
        numbers = f"{count or ''} numbers separated by commas".strip()
        self.syntactic_help = "a side in pixels, or HEIGHTxWIDTH" if is_size else numbers

    def parse(self, argument: str) -> tuple[float, ...]:
        if self._is_size and argument.isdecimal():
            argument = f"{argument}x{argument}"
        try:
            numbers = tuple(map(self._kind, re.split("[,x]", argument)))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) != (self._count or len(numbers)):
            raise ValueError(f"must be {self.syntactic_help}")
        return numbers


# A shell leaves "~" after "=" as it is; here it is the user's home folder too.
_PATHS = "data_dir dataset labels output output_dir source target weights".split()
_PARSERS: dict[type | str, flags.ArgumentParser] = {
    str: flags.ArgumentParser(),
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
    **{name: flags.ListParser() for name in ("devices", "override")},
    **{name: _Numbers(float, 3) for name in ("mean", "std")},
    "at": _Numbers(int, 2),
    "warm_up_batches": _Numbers(int),
    "image_size": _Numbers(int, 2, is_size=True),
}


def _flag(name: str, help: str, type: type = str, default: Any = None, **limits: Any) -> Setting:
    """A flag that is no setting of a run."""
    return Setting(name=name, type=type, optional=False, default=default, help=help, **limits)


def _settings(*names: str) -> tuple[Setting, ...]:
    """Settings of a run as flags, without defaults, which recipes or models decide."""
    chosen = (setting for setting in settings() if setting.name in names or not names)
    return tuple(dataclasses.replace(setting, default=None) for setting in chosen)


def _define(flag: Setting, values: flags.FlagValues) -> None:
    if flag.type is bool:
        flags.DEFINE_boolean(flag.name, flag.default, flag.help, values)
    else:
        parser = _PARSERS.get(flag.name) or _PARSERS[flag.type]
        flags.DEFINE(parser, flag.name, flag.default, flag.help, values)


_DEBUG = _flag("debug", "Show the traceback of an error.", bool, False)
_OVERWRITE = _flag("overwrite", "Replace an existing file.", bool, False)
_NUM_HEADS = _flag("num_heads", "Attention heads, for sizes nobody published.", int, at_least=1)
MODEL = (  # of every command that opens a MODEL
    _flag("labels", "File of class names, one per line; the model's, or ImageNet's, if not given."),
    _NUM_HEADS,
    *_settings("weights_key", "crop_pct", "statistics", "mean", "std"),
)
WEIGHTS = (  # of the commands that can also build a MODEL
    _flag("model", "Variant of a file of weights, such as t2t_vit_14."),
    _flag("weights", "Weights of a variant given by its name: imagenet (the default) or a file."),
    *_settings("image_size"),
)
_PREDICT = (
    _flag("top", "Most probable classes of each image.", int, 5, at_least=1),
    _flag("output", "CSV file of file, rank, class, probability; the screen if not given."),
    _flag("batch_size", "Images in a batch.", int, 32, at_least=1),
    *MODEL,
)
_EXPORT = (
    _flag(
        "format",
        "savedmodel, for TensorFlow Serving, decodes and resizes by itself; others take pixels.",
        default=FORMATS[0],
        choices=FORMATS,
    ),
    _flag("quantize", "Smaller weights, except for savedmodel.", choices=("float16", "int8")),
    _flag("output", "Folder of the versions; the run's, or saved_models/NAME, if not given."),
    _flag("version", "Number of the version; the next free one if not given.", int, at_least=1),
    _flag("top", "Most probable classes that a SavedModel names; 5 if not given.", int, at_least=1),
    _flag("warm_up_batches", "Batch sizes of warm-up requests; 1,8 if not given.", tuple),
    *MODEL,
    *WEIGHTS,
)
_VISUALIZE = (
    _flag("output", "PNG file to write; required."),
    _flag(
        "what",
        "attention of the class token or, with a stage of the stem as `block`, of the point `at`; "
        "rollout: attention through all blocks; features: channels of `block`; gradcam: evidence "
        "for `class_index`; tokens: similarity to the point `at`.",
        default="attention",
        choices=("attention", "rollout", "features", "gradcam", "tokens"),
    ),
    _flag(
        "block",
        "Stage (t2t_block_0, t2t_block_1, project) or encoder block, by name or number; if not "
        "given all for attention, the first stage for features, else the last block.",
    ),
    _flag("class_index", "Class by number or name; the most probable if not given."),
    _flag("at", "y,x in pixels of the resized image; its center if not given.", tuple),
    _flag("channels", "Channels to show, highest variance first.", int, 32, at_least=1),
    _OVERWRITE,
    *MODEL,
    *WEIGHTS,
)
_CONVERT = (
    _flag("source", "Official checkpoint, a .pth, .pth.tar or .ckpt file; required."),
    _flag(
        "target",
        "File to write: .weights.h5 (weights), .keras (model and weights) or .safetensors (weights "
        "under the authors' keys); required.",
    ),
    _flag("model", "Published variant, such as t2t_vit_14_resnext, where shapes fit several."),
    _NUM_HEADS,
    *_settings("weights_key"),
    _flag("sha256", "SHA-256 of the source, checked before it is read."),
    _flag("verify", "Read the target back and compare the outputs of both models.", bool, False),
    _OVERWRITE,
)
_RUN = (
    _flag(
        "mode",
        "transfer is train with `transfer`.",
        default="train",
        choices=("train", "transfer", "evaluate"),
    ),
    _flag("output_dir", "Folder of all runs.", default="saved_models"),
    _flag("run_name", "Folder of this run in it; time, model and size if not given."),
    _flag("resume", "Resume `run_name` or the newest unfinished run like this.", bool, True),
    _flag("override", "Settings that may change in an unfinished run, as lr,epochs.", tuple, ()),
    _flag("coordinator", "HOST:PORT of process 0 of several on JAX; or auto."),
    _flag("num_processes", "Number of processes that train together.", int),
    _flag("process_id", "Number of this process, from 0.", int),
)
_VERBOSE = _flag(
    "verbose",
    "0: one line per epoch; 1: Keras' bar too; 2: one every `log_every` steps; if not given 1 on a "
    "terminal, else 2.",
    int,
    at_least=0,
    at_most=2,
)
_EVALUATE = _settings(
    *("dataset", "data_dir", "eval_split", "validation_split", "model", "weights_key"),
    *("image_size", "crop_pct", "statistics", "mean", "std", "batch_size", "devices"),
    *("precision", "jit_compile", "on_bad_image", "max_bad_fraction"),
)
_EVALUATED = _flag(
    "labels",
    "File of class names, one per line, in the order of the model's outputs; if not given the "
    "model's, else the natural order of a folder's classes (2 before 10).",
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command as its users see it; `cli/NAME.py` has its `run`."""

    about: str
    examples: tuple[str, ...]
    flags: tuple[Setting, ...]
    positionals: tuple[str, ...] = ()  # the last one may be several where it ends in "..."


_ANY_MODEL = (
    "MODEL is a run's folder, a .keras file, an official checkpoint, a file of weights with "
    "--model, or a variant's name for its released weights; it decides what no flag says."
)
COMMANDS = {
    "train": Command(
        "Trains a model; without flags a small one on handwritten digits, in minutes on a CPU. A "
        "flag that is not given has the value of the recipe for the dataset and the model.",
        (
            "--dataset=cifar10 --model=t2t_vit_7 --image_size=32 --batch_size=128",
            "--dataset=images/ --weights=imagenet --model=t2t_vit_14 --transfer --epochs=10",
            "--flagfile=configs/t2t_vit_14.flags --data_dir=DATASETS",
        ),
        (*_RUN, _VERBOSE, _DEBUG, *_settings()),
    ),
    "evaluate": Command(
        "Measures a model's accuracy. WEIGHTS are a run's folder, a file of weights, or imagenet "
        "for the released ones of --model; a run decides what no flag says.",
        ("saved_models/RUN", "imagenet --model=t2t_vit_14 --dataset=imagenet2012"),
        (*_EVALUATE, _EVALUATED, _VERBOSE, _DEBUG),
        ("WEIGHTS",),
    ),
    "predict": Command(
        "Classifies images: files, or folders with all below them. MODEL is what export takes, or "
        "a SavedModel. The exit code is 1 where an image cannot be read; the others are classified "
        "all the same.",
        ("saved_models/RUN cat.jpg", "model.keras images/ --top=3 --output=predictions.csv"),
        (*_PREDICT, _DEBUG),
        ("MODEL", "IMAGES..."),
    ),
    "export": Command(
        "Writes a model for production, into a folder with the next free number. " + _ANY_MODEL,
        ("saved_models/RUN", "t2t_vit_14 --format=onnx --quantize=int8"),
        (*_EXPORT, _DEBUG),
        ("MODEL",),
    ),
    "visualize": Command(
        "Draws what a model sees in an image, as a PNG file. " + _ANY_MODEL,
        ("saved_models/RUN cat.jpg --what=gradcam --output=grad_cam.png",),
        (*_VISUALIZE, _DEBUG),
        ("MODEL", "IMAGE"),
    ),
    "convert": Command(
        "Converts an official checkpoint to a file that Keras reads. Variant, image size and "
        "classes are read off the shapes; every key is listed with where it went.",
        ("--source=81.5_T2T_ViT_14.pth.tar --target=t2t_vit_14.weights.h5",),
        (*_CONVERT, _DEBUG),
    ),
}


def parse(name: str, arguments: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """Reads a command line: the values of the flags, None for settings not given, and the rest."""
    command, values = COMMANDS[name], flags.FlagValues()
    for flag in command.flags:
        _define(flag, values)
    values.set_gnu_getopt(True)
    _, *others = values([name, *arguments])
    for flag in command.flags:
        if (value := values[flag.name].value) is not None:
            flag.check(value)
            values[flag.name].value = os.path.expanduser(value) if flag.name in _PATHS else value
    others = [os.path.expanduser(each) for each in others]
    wanted, expected = len(command.positionals), " ".join(command.positionals) or "nothing"
    if len(others) < wanted or len(others) > wanted and not expected.endswith("..."):
        given = " ".join(others) or "nothing"
        raise flags.Error(f"expected {expected} beside flags. Received: {given}")
    return values, others


def pick(values: flags.FlagValues, chosen: Iterable[Setting]) -> dict[str, Any]:
    """Returns the values of some flags by name, those that the command has."""
    return {flag.name: values[flag.name].value for flag in chosen if flag.name in values}


def given_settings(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the fields of `TrainConfig` among flags; None where a flag is not given."""
    given = pick(values, settings())
    check_colors_given(given["statistics"], given["mean"], given["std"])
    return {**given, "devices": tuple(given["devices"] or ())}


def check_colors_given(statistics: str | None, mean: Any, std: Any) -> None:
    """Raises a ValueError where flags give a model's means and deviations twice."""
    expected = "left out with `mean` and `std`, which say the same in numbers"
    check(not (statistics and (mean or std)), "statistics", statistics, expected)


def check_target(name: str, target: str | None, overwrite: bool) -> None:
    """Raises a ValueError where a flag's file cannot be written, or would be replaced unasked."""
    path = Path(target or "")
    folder = path.absolute().parent
    there = bool(target) and folder.is_dir() and not path.is_dir()
    check(there, name, target, "a file in an existing folder")
    check(os.access(folder, os.W_OK), name, target, "a file in a folder that may be written to")
    replaced = os.path.lexists(path) and not overwrite
    check(not replaced, name, target, "a new file, unless `overwrite` is given")


def verbosity(values: flags.FlagValues) -> int:
    """Returns the level that was asked for, or the one that fits the screen."""
    return (1 if sys.stdout.isatty() else 2) if values.verbose is None else values.verbose


def help_of(name: str, arguments: Sequence[str]) -> str:
    """Returns the help of a command, with the defaults that its recipe has for the arguments."""
    command = COMMANDS[name]
    defaults = {flag.name: flag.default for flag in command.flags}
    defaults |= _recipe(arguments) if name == "train" else {}
    usage = " ".join(["usage: t2t-keras", name, *command.positionals, "[--FLAG=VALUE ...]"])
    examples = [f"  t2t-keras {name} {example}" for example in command.examples]
    helps = [_help_of_flag(flag, defaults[flag.name]) for flag in command.flags]
    about = textwrap.fill(command.about, _WIDTH)
    last = "--flagfile=FILE reads flags from a file, one per line."
    return "\n".join([usage, "", about, "", *examples, "", *helps, "", last])


def _help_of_flag(flag: Setting, default: Any) -> str:
    name = f"[no]{flag.name}" if flag.type is bool else flag.name
    text = re.sub(r"`(\w+)(=\w+)?`", r"--\1\2", flag.help)
    text += f" One of {', '.join(flag.choices)}." if flag.choices else ""
    if default is not False and (text_of_default := shown(default)):
        text = f"{text.removesuffix('.')} (default: {text_of_default})."
    return textwrap.fill(
        f"--{name}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="      "
    )


def _recipe(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of a run as the recipe has them for its dataset, model and transfer."""
    values, _ = parse("train", arguments)
    config = make_config(
        dataset=values.dataset,
        model=values.model,
        optimizer=values.optimizer,
        freeze=values.freeze,
        transfer=values.transfer or values.mode == "transfer",
        weights="imagenet",
    )
    return {**vars(config), "weights": None}


def shown(value: Any) -> str:
    """Spells a value in the help or the documentation."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "" if value is None else str(value)


def overview() -> str:
    """Returns one line per command."""
    lines = [f"  {name:10} {each.about.partition('. ')[0]}." for name, each in COMMANDS.items()]
    return "\n".join(["usage: t2t-keras COMMAND ...", "", *lines, "", "COMMAND --help lists more."])
