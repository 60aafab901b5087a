"""The program itself: dispatch, help, errors of the command line, messages that name flags."""

import json
import os
import re
import sys

import pytest

from t2t_keras.cli import visualize
from t2t_keras.cli.flags import COMMANDS
from t2t_keras.cli.main import as_flags, main, program
from t2t_keras.export import exchange
from t2t_keras.training.config import settings
from tests.support.running import ROOT, script

# Prints the modules that are loaded at the end of a command.
LOADED = """
import atexit, json, runpy, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
sys.argv = ["t2t_keras", *sys.argv[1:]]
runpy.run_module("t2t_keras", run_name="__main__")
"""


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_neither_keras_nor_tensorflow(command):
    done = script(*filter(None, [command]), "--help", start=("-c", LOADED))
    assert done.returncode == 0, done.stderr
    text, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert {"keras", "tensorflow", "jax", "numpy"}.isdisjoint(json.loads(loaded))
    for flag in COMMANDS[command].flags if command else ():
        assert f"  --{'[no]' if flag.type is bool else ''}{flag.name}: " in text
    assert command != "train" or set(settings()) < set(COMMANDS[command].flags)
    assert command or all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", "must be one of train, evaluate, predict, export, visualize, convert"),
        ("train --epoch=3", "Unknown command line flag 'epoch'. Did you mean: epochs"),
        ("train three", "expected nothing beside flags. Received: three"),
        ("predict MODEL", "expected MODEL IMAGES... beside flags. Received: MODEL"),
        ("visualize MODEL", "expected MODEL IMAGE beside flags. Received: MODEL"),
        ("export", "expected MODEL beside flags. Received: nothing"),
        ("evaluate a b", "expected WEIGHTS beside flags. Received: a b"),
        ("train --epochs=0", "--epochs must be at least 1. Received: --epochs=0"),
        ("train --epochs=many", "flag --epochs=many: invalid literal"),
        ("train --precision=half", "flag --precision=half: value should be one of <float32|"),
        ("train --image_size=big", "flag --image_size=big: must be a side in pixels, or HEIGHTx"),
        ("train --image_size=1x2x3", "flag --image_size=1x2x3: must be a side in pixels, or H"),
        ("predict a b --top=0", "--top must be at least 1. Received: --top=0"),
        ("predict a b --batch_size=0", "--batch_size must be at least 1"),
        ("predict a b --crop_pct=1.5", "--crop_pct must be in (0, 1]. Received: --crop_pct=1.5"),
        (
            "export a --format=torch",
            "flag --format=torch: value should be one of <savedmodel|onnx|",
        ),
        ("export a --std=1,2", "flag --std=1,2: must be 3 numbers separated by commas"),
        ("visualize a b --at=1", "flag --at=1: must be 2 numbers"),
        ("visualize a b --channels=0", "--channels must be at least 1"),
        ("convert --num_heads=0", "--num_heads must be at least 1. Received: --num_heads=0"),
    ],
)
def test_a_wrong_command_line_is_refused_at_once(words, message, capsys):
    assert main(words.split()) == 2
    assert message in (error := capsys.readouterr().err) and error.startswith("error: ")


def test_the_choices_are_those_of_the_rooms():
    choices = {
        (name, flag.name): flag.choices for name in COMMANDS for flag in COMMANDS[name].flags
    }
    assert choices["export", "format"] == ("savedmodel", *exchange.FORMATS)
    assert choices["export", "quantize"] == exchange.QUANTIZED
    assert choices["visualize", "what"] == tuple(visualize.VIEWS)


@pytest.mark.parametrize("name", ["train_keras.py", "convert_weights.py"])
def test_the_scripts_are_commands(name):
    command = {"train_keras.py": "train", "convert_weights.py": "convert"}[name]
    done = script("--help", start=(ROOT / name,))
    assert done.stdout.startswith(f"usage: t2t-keras {command} [--FLAG=VALUE ...]\n")
    done = script("--epoch=3", start=(ROOT / name,))
    assert done.returncode == 2
    assert "Unknown command line flag 'epoch'" in done.stderr and "Traceback" not in done.stderr


def test_messages_name_flags_and_arguments():
    shown = {"lr": "--lr", "min_lr": "--min_lr", "freeze": "--freeze", "weights": "WEIGHTS"}
    message = "`min_lr` must be at most `lr` beside `freeze=backbone`. Received: min_lr=1, lr=0"
    assert as_flags(message, shown) == (
        "--min_lr must be at most --lr beside --freeze=backbone. Received: --min_lr=1, --lr=0"
    )
    assert as_flags("`weights` and `x`. Received: weights=a, x=1", shown) == (
        "WEIGHTS and `x`. Received: WEIGHTS=a, x=1"
    )


@pytest.mark.parametrize(
    ("arguments", "batch_size", "lr"),
    [
        ([], 64, 0.002),
        (["--model=t2t_vit_14", "--dataset=imagenet2012"], 512, 0.0005),
        (["--model=t2t_vit_7", "--dataset=imagenet2012"], 512, 0.001),
        (["--dataset=images/", "--mode=transfer"], 64, 0.05),
    ],
)
def test_help_has_the_defaults_of_the_recipe(arguments, batch_size, lr, capsys):
    assert main(["train", *arguments, "--help"]) == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert re.search(rf"--batch_size: [^-]* \(default: {batch_size}\)", text)
    assert re.search(rf"--lr: [^-]* --transfer for 64 \(default: {lr}\)", text)


def test_without_arguments_the_commands_are_listed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["t2t-keras"])
    assert main() == 0
    assert "\n  evaluate   Measures a model's accuracy.\n" in capsys.readouterr().out


def test_help_on_a_model_that_is_not_there_names_it(capsys):
    assert main(["train", "--model=t2t_vit_41", "--help"]) == 2
    assert "error: --model must be a model's name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("train_keras.py", ["train_keras.py"]),
        ("/here/t2t_keras/__main__.py", ["-m", "t2t_keras"]),
        ("/venv/bin/t2t-keras", ["/venv/bin/t2t-keras"]),
    ],
)
def test_the_program_can_be_started_again(started, words, monkeypatch):
    monkeypatch.setattr("sys.argv", [started, "train"])
    python = [] if "venv" in started else [os.path.relpath(sys.executable)]
    assert program() == [*python, *words]
