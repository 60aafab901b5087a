"""README and docs are true: examples run; tables, flags, commands and paths are the code's."""

import csv
import logging
import re
import shlex

import pytest

import t2t_keras
from t2t_keras import VARIANTS, T2TViT, create_model
from t2t_keras.cli.flags import COMMANDS, Command
from t2t_keras.cli.main import main
from t2t_keras.training.recipes import DIGITS_MODEL, SMALL_VARIANTS
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.releases import RELEASES
from tests.conftest import official_weights
from tests.support.images import encode, make_folder, ramp
from tests.support.macs_by_hand import macs_by_hand
from tests.support.running import ROOT, run_python
from tests.support.training.tiny_run import TINY
from tests.support.weights.torch_writer import checkpoint
from tests.test_floors import FLOORS
from tests.test_packaging import requirements

README = (ROOT / "README.md").read_text("utf-8")
RELEASED = "71.7_T2T_ViT_7.pth.tar"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def table(first_heading: str) -> list[list[str]]:
    """The rows below the heading of the table that starts with it."""
    rows = rf"^\| {first_heading} \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)"
    found = re.search(rows, README, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


# --- the Python examples ---


@pytest.fixture
def surroundings(tmp_path, golden) -> dict[str, str]:
    """The examples' surroundings: a released file, fetched before, and images; the environment.

    The file has the authors' keys, shapes and format up to the first block, and random numbers.
    """
    keys = dict(golden["t2t_vit_7"]["state_dict"])
    kept = [key for key in keys if not re.match("blocks.[1-9]", key)]
    content = checkpoint({key: official_weights(key, keys[key]) for key in kept})
    kept = tmp_path / "keras/models/t2t_keras" / RELEASED
    kept.parent.mkdir(parents=True)
    for path in (kept, tmp_path / RELEASED):
        path.write_bytes(content)
    (tmp_path / "cat.jpg").write_bytes(encode(ramp(300, 400), "JPEG"))
    make_folder(tmp_path / "images/train", {"cat": 4, "dog": 4})
    make_folder(tmp_path / "images/val", {"cat": 2, "dog": 2})
    return {
        "HOME": str(tmp_path),
        "KERAS_HOME": str(tmp_path / "keras"),
        "TFDS_DATA_DIR": str(tmp_path / "tfds"),
        "HTTPS_PROXY": "http://127.0.0.1:9",  # a download would fail at once
    }


# With deterministic operations Keras leaves XLA out, whose compilation would take most of the time,
# and so would models of more than one block.
PREFACE = """
import tests.support.no_torch
import dataclasses
import keras, tensorflow
from t2t_keras import VARIANTS
from t2t_keras.training import recipes
from tests.support.training.tiny_run import TINY
recipes.SMALL_VARIANTS[recipes.DIGITS_MODEL] = TINY
VARIANTS["t2t_vit_7"] = dataclasses.replace(VARIANTS["t2t_vit_7"], depth=1)
from tests.support.plain_graphs import leave_graphs_alone
leave_graphs_alone()
keras.utils.set_random_seed(0)
tensorflow.config.experimental.enable_op_determinism()
"""


def test_python_examples_run(tmp_path, surroundings):
    assert len(blocks("python")) >= 7
    script = tmp_path / "examples.py"
    script.write_text("\n".join([PREFACE, *blocks("python")]), "utf-8")
    run_python(script, cwd=tmp_path, **surroundings)


# --- the commands ---


def command_lines() -> list[str]:
    text = "\n".join(blocks("bash")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def flags_of(command: Command) -> set[str]:
    """The flags of a command, and the names absl gives the negated ones."""
    names = {flag.name for flag in command.flags}
    return names | {f"no{flag.name}" for flag in command.flags if flag.type is bool} | ALWAYS


ALWAYS = {"flagfile", "help"}
CLIENT = "examples/serving_client.py"
PROGRAMS = {  # as the README calls them
    "train_keras.py": flags_of(COMMANDS["train"]),
    "convert_weights.py": flags_of(COMMANDS["convert"]),
    CLIENT: {*re.findall(r'add_argument\(\s*"--(\w+)"', (ROOT / CLIENT).read_text("utf-8"))},
    **{f"t2t-keras {name}": flags_of(command) for name, command in COMMANDS.items()},
}


def test_every_command_exists_and_every_flag():
    seen = set()
    for line in command_lines():
        for program in (each for each in PROGRAMS if f"{each} " in line):
            named = set(re.findall(r" --(\w+)", line.partition(program)[2]))
            assert named <= PROGRAMS[program], line
            seen.add(program)
    assert seen == {*PROGRAMS} - {"t2t-keras convert"}  # which the script shows
    assert {*re.findall(r"t2t-keras (\w+)", "\n".join(command_lines()))} <= COMMANDS.keys()
    in_the_text = {*re.findall(r"`--(\w+)", README)}
    assert in_the_text and in_the_text <= set().union(*PROGRAMS.values())


def test_the_two_commands_are_one_line_each():
    install = "python3 -m venv .venv && .venv/bin/pip install --quiet -e"
    main_job, tests = (line for line in command_lines() if "-m venv" in line)
    assert main_job == f"{install} . && .venv/bin/python train_keras.py"
    assert tests == f'{install} ".[test]" && .venv/bin/python -m pytest -n 2'


def test_a_folder_of_images_comes_to_a_prediction(tmp_path, monkeypatch, capsys):
    """A small model replaces the published one; all else is as the README has it."""
    section = README.partition("### Fine-tune on your images")[2].partition("\n### ")[0]
    lines = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    (program, *training), (same_program, *prediction) = map(shlex.split, lines)
    assert program == same_program == ".venv/bin/t2t-keras"
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("t2t_keras")
    for name in ("handlers", "propagate", "level"):  # commands take the log for themselves
        monkeypatch.setattr(log, name, getattr(log, name))
    monkeypatch.setitem(SMALL_VARIANTS, "tiny", TINY)
    make_folder(tmp_path / "images/train", {"cat": 8, "dog": 6})
    make_folder(tmp_path / "images/val", {"cat": 2, "dog": 2})
    make_folder(tmp_path / "new_images", {"holiday": 3})
    write_model(T2TViT(TINY, weights=None, classes=10), tmp_path / "start.weights.h5")
    assert {"train", "--transfer", "--dataset=images/"} <= {*training}
    smaller = ["--model=tiny", "--weights=start.weights.h5", "--image_size=32x24"]
    smaller += ["--epochs=1", "--batch_size=4", "--devices=cpu:0"]
    assert main([*training, *smaller]) == 0  # of a flag that is given twice the last value counts
    capsys.readouterr()
    assert main(prediction) == 0
    assert capsys.readouterr().out == "wrote predictions.csv: 3 images\n"
    _, *rows = csv.reader((tmp_path / "predictions.csv").read_text().splitlines())
    assert len(rows) == 6 and {row[2] for row in rows} == {"cat", "dog"}  # of two classes, not 3


# --- the tables ---


@pytest.mark.parametrize("row", table("model"), ids=lambda row: row[0].strip("`"))
def test_model_table(row, golden):
    assert [each[0].strip("`") for each in table("model")] == list(VARIANTS)
    name, function, params, macs, top1, top5 = (cell.strip("`") for cell in row)
    variant = VARIANTS[name]
    assert getattr(t2t_keras, function).__doc__.startswith(f"The published variant `{name}`")
    if name in golden:  # where that is compared with the model's, as its count by hand is
        count = golden[name]["params"]
    else:
        count = create_model(name, weights=None).count_params()
    assert params == f"{count:,}"
    assert macs == f"{macs_by_hand(variant) / 1e9:.2f}"
    assert variant.image_size == 224
    released = [r for r in RELEASES if (r.variant, r.tag, r.image_size) == (name, "imagenet", 224)]
    figures = [(f"{release.top1:.2f}", f"{release.top5:.2f}") for release in released]
    assert [(top1, top5)] == (figures or [("", "")])


def test_the_digits_model_has_as_many_parameters_as_it_says():
    sizes = SMALL_VARIANTS[DIGITS_MODEL]
    side = sizes.image_size
    model = t2t_keras.T2TViT(sizes, input_shape=(side, side, 3), classes=10)
    assert f"a small T2T-ViT ({model.count_params():,} parameters)" in README


def test_other_releases_table():
    others = [r for r in RELEASES if r.tag != "imagenet" or r.image_size != 224]
    rows = table("released file")
    assert [row[0].strip("`") for row in rows] == [r.filename for r in others]
    for (_, variant, size, classes, top1), release in zip(rows, others, strict=True):
        assert (variant.strip("`"), size) == (release.variant, str(release.image_size))
        assert (classes, float(top1)) == (str(release.classes), release.top1)


def test_dependency_table_is_setup_cfg():
    rows = table("package")
    extras = {name: extra for extra, names in requirements().items() for name in names}
    assert {row[0].strip("`"): row[1].strip("`") for row in rows} == extras
    assert all(len(row[2]) > 10 for row in rows)  # the reason


# --- other documents ---

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document):
    text = document.read_text("utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert all((document.parent / link).exists() for link in links)
    outside = re.sub(r"^```bash\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    paths = re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", outside)
    paths += re.findall(r'\["?((?:[a-z_]+/)+[a-z_]+\.py)', outside)  # in a diagram
    assert [p for p in paths if not any((b / p).exists() for b in (ROOT, ROOT / "t2t_keras"))] == []


def test_the_architecture_has_every_room_on_its_floor():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    floors = {
        name.removesuffix("/").removesuffix(".py").replace("/", "."): int(floor)
        for floor, names in re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`([\w/.]+)`", names)
    }
    assert floors.items() <= FLOORS.items()
    assert {room for room in FLOORS if "." not in room} <= floors.keys()
