"""The flags and the help of every command; Keras and TensorFlow stay out, so that help is quick."""

import dataclasses
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from t2t_keras.training.config import Setting, settings
from t2t_keras.training.recipes import make_config

FORMATS = ("savedmodel", "onnx", "litert", "openvino")
QUANTIZED = ("float16", "int8")
STATISTICS = ("imagenet", "cifar")
VIEWS = ("attention", "rollout", "features", "gradcam", "tokens")
_WIDTH = 100


class Numbers(flags.ArgumentParser):
    """Parses numbers with commas between them.

    Args:
        kind: int or float.
        count: How many there must be; None for any number of them.
    """

    def __init__(self, kind: Callable[[str], float], count: int | None = None):
        self._kind, self._count = kind, count
        self.syntactic_help = f"{count or 'any number of'} numbers with commas between them"

    def parse(self, argument: str) -> tuple[float, ...]:
        """Returns the numbers."""
        try:
            numbers = tuple(map(self._kind, argument.split(",")))
        except ValueError:
            numbers = ()
        if not numbers or len(numbers) != (self._count or len(numbers)):
            raise ValueError(f"must be {self.syntactic_help}")
        return numbers


class ImageSize(flags.ArgumentParser):
    """Parses a side in pixels, or HEIGHTxWIDTH."""

    syntactic_help = "a side in pixels, or HEIGHTxWIDTH"

    def parse(self, argument: str) -> tuple[int, int]:
        """Returns (height, width)."""
        sides = argument.replace(",", "x").split("x")
        try:
            height, width = map(int, sides * 2 if len(sides) == 1 else sides)
        except ValueError:
            raise ValueError(f"must be {self.syntactic_help}") from None
        return height, width


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command.

    Args:
        name: The name, without dashes.
        kind: str, int, float, bool, list (of texts) or a parser of absl.
        help: A line for `--help`.
        default: The value where the flag is not given.
        choices: The values it may have; empty for any.
        bounds: The lowest and highest number allowed; None for no limit.
    """

    name: str
    kind: type | flags.ArgumentParser
    help: str
    default: Any = None
    choices: Sequence[str] = ()
    bounds: tuple[float | None, float | None] = (None, None)

    def define(self, values: flags.FlagValues) -> None:
        """Adds the flag to `values`."""
        if self.kind is bool:
            flags.DEFINE_boolean(self.name, self.default, self.help, values)
        else:
            flags.DEFINE(self._parser(), self.name, self.default, self.help, values)

    def _parser(self) -> flags.ArgumentParser:
        if isinstance(self.kind, flags.ArgumentParser):
            return self.kind
        if self.choices:
            return flags.EnumParser(list(self.choices))
        if self.kind in (int, float):
            parser = flags.IntegerParser if self.kind is int else flags.FloatParser
            return parser(*self.bounds)
        return flags.ListParser() if self.kind is list else flags.ArgumentParser()

    def lines(self, default: Any) -> str:
        """Returns what `--help` shows of the flag, with its default."""
        name = f"[no]{self.name}" if self.kind is bool else self.name
        text = re.sub(r"`(\w+)(=\w+)?`", r"--\1\2", self.help)
        text += f" One of {', '.join(self.choices)}." if self.choices else ""
        if default is not None and default is not False and default not in ([], ()):
            shown = "x".join(map(str, default)) if isinstance(default, tuple) else default
            text = f"{text.removesuffix('.')} (default: {shown})."
        return textwrap.fill(
            f"--{name}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="      "
        )


_DEBUG = Flag("debug", bool, "Show the traceback of an error.", False)
_OVERWRITE = Flag("overwrite", bool, "Replace an existing output.", False)
_VARIANT = Flag("model", str, "Variant of a file of weights, such as t2t_vit_14.")
_NUM_HEADS = Flag(
    "num_heads", int, "Attention heads of a checkpoint of unpublished sizes.", bounds=(1, None)
)
_MODEL = (  # of every command that opens a MODEL
    Flag("labels", str, "Class names, one a line (default: the model's, or ImageNet's)."),
    _NUM_HEADS,
    Flag("crop_pct", float, "Fraction of the resized side that is kept (default: the model's)."),
    Flag(
        "statistics",
        str,
        "Channel means and deviations to normalize images by (default: the model's).",
        choices=STATISTICS,
    ),
)
_WEIGHTS = (  # of the commands that can also build a MODEL from a file of weights
    _VARIANT,
    Flag("weights", str, "Weights of a variant given by its name, a file (default: imagenet)."),
    Flag("image_size", ImageSize(), "Side in pixels, or HEIGHTxWIDTH (default: the weights')."),
)
_PREDICT = (
    Flag("top", int, "Most probable classes of each image.", 5, bounds=(1, None)),
    Flag("output", str, "CSV file: file, rank, class, probability (default: on the screen)."),
    Flag("batch_size", int, "Images in a batch.", 32, bounds=(1, None)),
    *_MODEL,
)
_EXPORT = (
    Flag(
        "format",
        str,
        "savedmodel, for TensorFlow Serving, decodes and resizes by itself; others take pixels.",
        FORMATS[0],
        FORMATS,
    ),
    Flag("quantize", str, "Smaller weights, for onnx, litert and openvino.", choices=QUANTIZED),
    Flag("output", str, "Folder of the versions (default: the run's, or saved_models/NAME)."),
    Flag("version", int, "Number of the version (default: the next free one)."),
    Flag("top", int, "Most probable classes that a SavedModel names (default: 5)."),
    Flag("warm_up_batches", Numbers(int), "Batch sizes of warm-up requests (default: 1,8)."),
    Flag("mean", Numbers(float, 3), "Of red, green and blue in 0..1, instead of --statistics."),
    Flag("std", Numbers(float, 3), "Of red, green and blue in 0..1, instead of --statistics."),
    *_MODEL,
    *_WEIGHTS,
)
_VISUALIZE = (
    Flag("output", str, "PNG file to write; required."),
    Flag(
        "what",
        str,
        "attention of the class token, or with a stage of the stem as --block of the point --at; "
        "rollout: attention through all blocks; features: channels of --block; gradcam: evidence "
        "for --class_index; tokens: similarity to the point --at.",
        VIEWS[0],
        VIEWS,
    ),
    Flag(
        "block",
        str,
        "A stage (t2t_block_0, t2t_block_1, project) or an encoder block, by name or number "
        "(default: all for attention, the first stage for features, else the last block).",
    ),
    Flag("class_index", str, "A class by number or name (default: the most probable)."),
    Flag("at", Numbers(int, 2), "y,x in pixels of the resized image (default: its center)."),
    Flag("channels", int, "Channels to show, highest variance first.", 32, bounds=(1, None)),
    _OVERWRITE,
    *_MODEL,
    *_WEIGHTS,
)
_CONVERT = (
    Flag("source", str, "Official checkpoint, a .pth or .pth.tar file; required."),
    Flag(
        "target",
        str,
        "File to write: .weights.h5 (weights), .keras (model and weights) or .safetensors (weights "
        "under the authors' keys); required.",
    ),
    Flag("model", str, "Published variant, such as t2t_vit_14_resnext, where shapes fit several."),
    _NUM_HEADS,
    Flag(
        "key",
        str,
        "State dict to read; auto takes the first of state_dict_ema, state_dict, net and the file "
        "itself.",
        "auto",
    ),
    Flag("sha256", str, "SHA-256 of the source, checked before it is read."),
    Flag("verify", bool, "Read the target back and compare the outputs of both models.", False),
    _OVERWRITE,
)
_RUN = (
    Flag("mode", str, "transfer is train --transfer.", "train", ("train", "transfer", "evaluate")),
    Flag("output_dir", str, "Folder of all runs.", "saved_models"),
    Flag("run_name", str, "Folder of this run in it (default: time, model and size)."),
    Flag(
        "resume", bool, "Resume --run_name, or the newest unfinished run with these settings.", True
    ),
    Flag("override", list, "Settings that may change when a run resumes, as lr,epochs.", []),
    Flag("coordinator", str, "HOST:PORT of process 0 of several on JAX; or auto."),
    Flag("num_processes", int, "Number of processes that train together."),
    Flag("process_id", int, "Number of this process, from 0."),
)
_VERBOSE = Flag(
    "verbose",
    int,
    "0: a line an epoch; 1: Keras' bar too; 2: a line every --log_every steps (default: 1 on a "
    "terminal, else 2).",
    bounds=(0, 2),
)


def _flag_of(setting: Setting) -> Flag:
    """Returns the flag of a field of `TrainConfig`, whose default is left to the recipe."""
    kinds = {"image_size": ImageSize(), "devices": list}
    kind = kinds.get(setting.name, setting.type)
    return Flag(setting.name, kind, setting.help, choices=setting.choices)


SETTINGS = tuple(map(_flag_of, settings()))
_OF_EVALUATION = (
    *("dataset", "data_dir", "eval_split", "validation_split", "model", "image_size", "crop_pct"),
    *("statistics", "batch_size", "devices", "precision", "jit_compile", "on_bad_image"),
    "max_bad_fraction",
)
_EVALUATE = tuple(flag for flag in SETTINGS if flag.name in _OF_EVALUATION)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command as its users see it; `cli/NAME.py` has its `run`.

    Args:
        about: A line on what it does.
        examples: Arguments of calls.
        flags: The flags.
        positionals: The names of other arguments; of the last one, ending in "...", there may be
            several.
    """

    about: str
    examples: tuple[str, ...]
    flags: tuple[Flag, ...]
    positionals: tuple[str, ...] = ()

    def takes(self, count: int) -> bool:
        """Returns True where there may be that many arguments beside flags."""
        wanted = len(self.positionals)
        several = bool(wanted) and self.positionals[-1].endswith("...")
        return count >= wanted if several else count == wanted


_ANY_MODEL = (
    "MODEL is a run's folder, a .keras file, an official checkpoint, a file of weights with "
    "--model, or a variant's name for its released weights."
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
        (*_RUN, _VERBOSE, _DEBUG, *SETTINGS),
    ),
    "evaluate": Command(
        "Measures a model's accuracy. WEIGHTS are a run's folder, a file of weights, or imagenet "
        "for the released ones of --model.",
        ("saved_models/RUN", "imagenet --model=t2t_vit_14 --dataset=imagenet2012"),
        (*_EVALUATE, _VERBOSE, _DEBUG),
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
    """Reads a command line: the values of the flags, and the other arguments.

    Raises:
        flags.Error: A flag is unknown or its value wrong, or an argument is missing or too many.
    """
    command, values = COMMANDS[name], flags.FlagValues()
    for flag in command.flags:
        flag.define(values)
    values.set_gnu_getopt(True)
    _, *others = values([name, *arguments])
    if not command.takes(len(others)):
        wanted = " ".join(command.positionals) or "nothing"
        raise flags.Error(
            f"expected {wanted} beside flags. Received: {' '.join(others) or 'nothing'}"
        )
    return values, others


def help_of(name: str, arguments: Sequence[str]) -> str:
    """Returns the help of a command, with the defaults that its recipe has for the arguments."""
    command, recipe = COMMANDS[name], _recipe(arguments) if name == "train" else {}
    usage = " ".join(["usage: t2t-keras", name, *command.positionals, "[--FLAG=VALUE ...]"])
    examples = [f"  t2t-keras {name} {example}" for example in command.examples]
    lines = [flag.lines(recipe.get(flag.name, flag.default)) for flag in command.flags]
    note = "--flagfile=FILE reads flags from a file, one a line."
    return "\n".join(
        [usage, "", textwrap.fill(command.about, _WIDTH), "", *examples, "", *lines, "", note]
    )


def _recipe(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of a run as the recipe has them for its dataset, model and transfer."""
    values, _ = parse("train", arguments)
    chosen = {name: values[name].value for name in ("dataset", "model", "optimizer", "freeze")}
    transfer = values.transfer or values.mode == "transfer"
    config = make_config(**chosen, transfer=transfer, weights="imagenet")
    return {**dataclasses.asdict(config), "weights": None}


def overview() -> str:
    """Returns a line on each command."""
    lines = [f"  {name:10} {each.about.partition('. ')[0]}." for name, each in COMMANDS.items()]
    return "\n".join(["usage: t2t-keras COMMAND ...", "", *lines, "", "COMMAND --help lists more."])
