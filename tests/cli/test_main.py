"""The program itself: dispatch, help, errors of the command line, messages that name flags."""

import errno
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from t2t_keras import T2TViT
from t2t_keras.cli import visualize
from t2t_keras.cli.flags import COMMANDS
from t2t_keras.cli.main import as_flags, main, program
from t2t_keras.export import exchange
from t2t_keras.export.saved_model import new_version
from t2t_keras.files import write_csv
from t2t_keras.training.checkpoint.store import Checkpoint, write_checkpoint
from t2t_keras.training.config import settings
from t2t_keras.training.run_directory import lock_run_directory
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata
from tests.conftest import DATA
from tests.support.images import encode, make_folder, ramp
from tests.support.running import ROOT, run_python
from tests.support.tiny import tiny_model, tiny_variant

# Prints the modules that are loaded at the end of a command.
LOADED = """
import atexit, json, runpy, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
sys.argv = ["t2t_keras", *sys.argv[1:]]
runpy.run_module("t2t_keras", run_name="__main__")
"""


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_imports_neither_keras_nor_tensorflow(command):
    """Without arguments the program lists the commands."""
    done = run_python("-c", LOADED, *([command, "--help"] if command else []))
    text, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert {"keras", "tensorflow", "jax", "numpy"}.isdisjoint(json.loads(loaded))
    for flag in COMMANDS[command].flags if command else ():
        assert f"  --{'[no]' if flag.type is bool else ''}{flag.name}: " in text
    names = {flag.name for flag in COMMANDS["train"].flags}
    assert {setting.name for setting in settings()} < names
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
        ("train --precision=half", "--precision must be one of float32, bfloat16, float16. Rec"),
        ("train --image_size=big", "flag --image_size=big: must be a side in pixels, or HEIGHTx"),
        ("train --image_size=1x2x3", "flag --image_size=1x2x3: must be a side in pixels, or H"),
        ("predict a b --top=0", "--top must be at least 1. Received: --top=0"),
        ("predict a b --batch_size=0", "--batch_size must be at least 1"),
        ("predict a b --crop_pct=1.5", "--crop_pct must be in (0, 1]. Received: --crop_pct=1.5"),
        ("export a --format=torch", "--format must be one of savedmodel, onnx, litert, openvino"),
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


@pytest.mark.parametrize(
    ("name", "command"), [("train_keras.py", "train"), ("convert_weights.py", "convert")]
)
def test_the_scripts_are_commands(name, command):
    done = run_python(name, "--help")
    assert done.stdout.startswith(f"usage: t2t-keras {command} [--FLAG=VALUE ...]\n")
    done = run_python(name, "--epoch=3", check=False)
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


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, images, checkpoints and what is none."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "run").mkdir()
    model = T2TViT(tiny_variant(image_size=32, depth=1), weights=None, classes=3)
    write_model(model, folder / "plain.keras")
    write_model(tiny_model(include_top=False), folder / "features.keras")
    write_model(model, folder / "run" / "model.keras", ModelMetadata(("ash", "elm", "oak")))
    (folder / "run" / "metrics.json").write_text('{"settings": 3}')
    (folder / "torn.keras").write_bytes((folder / "run" / "model.keras").read_bytes()[:500])
    (folder / "served").mkdir()
    (folder / "served" / "saved_model.pb").touch()
    for name in ("tiny_performer.pth.tar", "full_size.json"):
        shutil.copy(DATA / name, folder)
    make_folder(folder / "images", {"ash": 2, "elm": 2})
    (folder / "cat.png").write_bytes(encode(ramp(60, 90), "PNG"))
    (folder / "empty").mkdir()
    (folder / "four.txt").write_text("a\nb\nc\nd\n")
    (folder / "none.txt").touch()
    return folder


CONVERT = "convert --source=tiny_performer.pth.tar --target=new.keras"
VISUALIZE = "visualize run cat.png --output=new.png"
IMAGES = "--dataset=images --validation_split=0.5 --batch_size=1"
TRAIN = f"train --output_dir=runs --run_name=new {IMAGES}"
PRETRAINED = "--model=t2t_vit_14 --weights=imagenet"
ERRORS = [
    (f"{CONVERT} --source=no.pth", "--source must be an existing checkpoint"),
    ("convert --target=new.keras", "--source must be an existing checkpoint"),
    (f"{CONVERT} --target=x.h5", "--target must be a file that ends in .weights.h5, .keras, "),
    (f"{CONVERT} --target=no/such/x.keras", "--target must be a file in an existing folder"),
    ("convert --source=tiny_performer.pth.tar", "--target must be a file in an existing folder"),
    (CONVERT, "--num_heads"),
    (f"{CONVERT} --num_heads=3", "num_heads"),
    (f"{CONVERT} --model=t2t_vit_15", "--model must be one of"),
    (f"{CONVERT} --model=t2t_vit_14", "is not of t2t_vit_14"),
    (f"{CONVERT} --num_heads=2 --weights_key=weights", "no state dict called 'weights'"),
    (f"{CONVERT} --num_heads=2 --sha256={'0' * 64}", "SHA-256"),
    (f"{CONVERT} --source=full_size.json", "not a PyTorch checkpoint"),
    ("export missing", "MODEL must be a run's folder"),
    ("export t2t_vit_7 --weights=missing.pth", "The --weights argument should be"),
    ("export run --weights=imagenet", "--weights must be left out unless MODEL is the name of a"),
    ("export run --quantize=int8", "--quantize must be left out with --format=savedmodel"),
    ("export run --format=litert --top=3", "--top must be left out except with --format=saved"),
    ("export run --format=onnx --warm_up_batches=2", "--warm_up_batches must be left out except"),
    ("export run --labels=missing.txt", "missing.txt: cannot be read"),
    ("export run --labels=none.txt", "none.txt: is empty. Give a text file"),
    ("export run --image_size=64x64", "the model's own, 32x32"),
    ("export run --statistics=cifar --std=1,1,1", "--statistics must be left out with --mean"),
    ("export run --top=4", "--top must be 1 to 3"),
    ("export full_size.json", "--model must be the variant whose weights"),
    ("export plain.keras", "--labels must be the names of the 3 classes of plain.keras"),
    ("export features.keras", "MODEL must be a T2T-ViT of this package with its"),
    ("export torn.keras", "torn.keras: cannot be read"),
    ("predict torn.keras cat.png", "torn.keras: cannot be read"),
    ("predict run empty", "no images there"),
    ("predict nowhere.keras cat.png", "MODEL must be a run's folder"),
    ("predict run cat.png --output=no/there.csv", "--output must be a file in an existing folder"),
    ("predict run cat.png --labels=four.txt", "--labels must be the names of the 3 classes of"),
    ("predict served cat.png --crop_pct=1", "--crop_pct must be left out with a SavedModel"),
    ("predict served cat.png --statistics=cifar", "decides it. Received: --statistics=cifar"),
    ("evaluate nowhere.keras", "WEIGHTS must be imagenet, an existing file.*: WEIGHTS=nowhere"),
    ("evaluate run", "metrics.json: is not what a run writes .* Remove it and give --model"),
    ("visualize no_such_model cat.png --output=new.png", "MODEL must be a run's folder"),
    ("visualize full_size.json cat.png --output=x.png", "--model must be the variant whose wei"),
    ("visualize full_size.json cat.png --output=x.png --model=t2t_vit_7", "--weights argument"),
    ("visualize run no.png --output=new.png", "no.png: no such image"),
    (f"{VISUALIZE} --output=no/such/x.png", "--output must be a file in an existing folder"),
    (f"{VISUALIZE} --output=x.jpg", "--output must be a file that ends in .png"),
    (f"{VISUALIZE} --block=block_9", "--block must be one of t2t_block_0"),
    (f"{VISUALIZE} --what=gradcam --class_index=3", "0 to 2"),
    (f"{VISUALIZE} --what=gradcam --class_index=cat", "--class_index must be a class name or"),
    (f"{VISUALIZE} --what=tokens --at=40,1", "inside the image"),
    (f"{VISUALIZE} --weights=imagenet", "--weights must be left out unless MODEL is the name"),
    (f"{TRAIN} --dataset=mnits", "'mnits'.*mnist"),
    (f"{TRAIN} --dataset=./nowhere", "nowhere: no such folder"),
    (f"{TRAIN} --model=t2t_vit_41", "--model must be a model's name, such as .*t2t_vit_14"),
    (f"{TRAIN} --image_size=8", "at least 16 pixels"),
    (
        f"{TRAIN} {PRETRAINED} --freeze=backbone --mixup=0.5",
        "--mixup must be 0 with --freeze=backbone: features .* --mixup=0.5",
    ),
    (f"{TRAIN} --devices=gpu:7", "--devices must be among the 0 GPUs"),
    (f"{TRAIN} --weights=nowhere.keras", "--weights must be imagenet, .* a run's folder"),
    (f"{TRAIN} --run_name=a/b", "--run_name must be the plain name"),
    (f"{TRAIN} --run_name=..", r"--run_name must be the plain name .*--run_name=\.\.$"),
    (f"{TRAIN} --run_name=.", "--run_name must be the plain name"),
    (f"{TRAIN} --run_name=", "--run_name must be the plain name"),
    (f"{TRAIN} {PRETRAINED} --freeze=15", "--freeze must be at most 14, .*--freeze=15"),
    (f"{TRAIN} --lr=1e-3 --min_lr=1e-2", "--min_lr must be at most --lr, 0.001. .*: --min_lr=0.01"),
    (f"{TRAIN} --mode=evaluate", "--weights must be given to evaluate"),
    (f"{TRAIN} --mode=evaluate --coordinator=auto", "--coordinator must be left out .*=auto"),
]


@pytest.mark.parametrize(("words", "message"), ERRORS)
def test_an_error_is_one_line_that_names_flags_and_writes_nothing(
    words, message, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert main(shlex.split(words)) == 1
    *_, error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and hint == "(--debug shows where)"
    assert re.search(message, error)
    assert sorted(place.rglob("*")) == before


def _export(folder):
    with new_version(folder / "digits", None) as (part, _):
        part.mkdir()


def _begin_run(folder):
    with lock_run_directory(folder / "run"):
        pass


WRITES = [
    ("train --output_dir={}", _begin_run),
    ("train --output_dir={}", lambda folder: write_checkpoint(folder, Checkpoint(1, {}, {}, {}))),
    ("export m --output={}", _export),
    ("convert --target={}/m.keras", lambda folder: write_model(tiny_model(), folder / "m.keras")),
    ("predict m i --output={}/rows.csv", lambda folder: write_csv(folder / "rows.csv", [])),
]


@pytest.mark.parametrize(("words", "write"), WRITES)
@pytest.mark.parametrize(
    ("number", "fix"), [(errno.ENOSPC, "Make room on that disk"), (errno.EROFS, "Make that folder")]
)
def test_a_full_or_read_only_place_is_an_error_with_the_flag_of_another(
    words, write, number, fix, tmp_path, monkeypatch, capsys
):
    def fail(source, target):
        raise OSError(number, os.strerror(number), os.fspath(source))

    name, *rest = words.format(tmp_path).split()
    monkeypatch.setattr(f"t2t_keras.cli.{name}.run", lambda values, others: write(tmp_path))
    monkeypatch.setattr("os.replace", fail)
    assert main([name, *rest]) == 1
    (error,) = re.findall("error: .*", capsys.readouterr().err)
    flag = rest[-1].partition("=")[0]
    assert str(tmp_path) in error and os.strerror(number) in error
    assert re.search(rf"cannot be written.*{fix}.*, or give another {flag}\.$", error)
    monkeypatch.setattr(f"t2t_keras.cli.{name}.run", lambda *_: Path("/etc/no/such").read_text())
    assert main([name, *rest]) == 1
    assert "give another" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [CONVERT, VISUALIZE, "predict run cat.png --output=new.csv"])
def test_a_folder_that_may_not_be_written_to_is_refused_before_the_work(
    words, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK or Path(path) != place)
    assert main(words.split()) == 1
    expected = "--(target|output) must be a file in a folder that may be written to. Received: --"
    assert re.search(expected, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("words", "name"),
    [(f"{CONVERT} --num_heads=2", "target"), (f"{VISUALIZE} --what=rollout", "output")],
)
def test_a_file_is_replaced_only_if_asked(words, name, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    file = tmp_path / ("mine.keras" if name == "target" else "mine.png")
    file.write_text("mine")
    command = [*words.split(), f"--{name}={file}"]
    assert main(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert file.read_bytes() != b"mine"


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
    for arguments in (None, [], ["-h"]):
        assert main(arguments) == 0
        assert "\n  evaluate   Measures a model's accuracy.\n" in capsys.readouterr().out


def test_the_settings_page_is_that_of_the_settings():
    writer = runpy.run_path(ROOT / "docs" / "write_settings.py")
    assert writer["PATH"].read_text("utf-8") == writer["page"]()


def test_a_model_that_is_not_there_is_named_by_help_and_debug_shows_the_traceback(capsys):
    assert main(["train", "--model=t2t_vit_41", "--help"]) == 2
    assert "error: --model must be a model's name" in capsys.readouterr().err
    with pytest.raises(ValueError, match="`model` must be .*t2t_vit_41"):
        main(["train", "--model=t2t_vit_41", "--debug"])


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
