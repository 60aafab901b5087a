"""The command `convert`: one subprocess to see the script as a user does, the rest in-process."""

from pathlib import Path

import pytest

from t2t_keras.cli.main import main
from tests.conftest import DATA
from tests.support.running import ROOT, line, script
from tests.support.tiny import tiny_model


@pytest.fixture
def convert(tmp_path):
    """Runs the command, with changes."""
    settings = {
        "source": DATA / "tiny_performer.pth.tar",
        "target": tmp_path / "tiny.weights.h5",
        "num_heads": 2,
    }
    return lambda *words, **changes: main(line("convert", *words, **{**settings, **changes}))


def test_script(tmp_path):
    target = tmp_path / "tiny.keras"
    source = "tests/goldens/tiny_performer_legacy.pth.tar"
    arguments = line("--verify", source=source, target=target, num_heads=2)
    done = script(*arguments, start=(ROOT / "convert_weights.py",))
    assert done.returncode == 0, done.stderr
    assert "blocks.2.mlp.fc2.weight" in done.stdout
    assert "64x64 pixels, 10 classes, 53,792 parameters" in done.stdout
    assert "verified: outputs differ by at most 0.0e+00" in done.stdout
    assert target.is_file()


@pytest.mark.parametrize("suffix", [".weights.h5", ".safetensors"])
def test_written_file_loads_as_weights(suffix, convert, tmp_path, capsys):
    target = tmp_path / f"tiny{suffix}"
    assert convert("--verify", target=target) == 0
    assert "verified" in capsys.readouterr().out
    tiny_model(weights=str(target))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "missing.pth"}, "--source must be an existing checkpoint"),
        ({"source": None}, "--source must be an existing checkpoint"),
        ({"target": "model.h5"}, "--target must end in .weights.h5, .keras, .safetensors"),
        ({"target": "no/such/folder/x.keras"}, "--target must be a file in an existing folder"),
        ({"target": None}, "--target must be a file in an existing folder"),
        ({"num_heads": None}, "--num_heads"),
        ({"num_heads": 3}, "num_heads"),
        ({"model": "t2t_vit_15"}, "--model must be one of"),
        ({"model": "t2t_vit_14"}, "is not of t2t_vit_14"),
        ({"key": "weights"}, "no state dict called 'weights'"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"source": DATA / "full_size.json"}, "not a PyTorch checkpoint"),
    ],
)
def test_an_error_is_one_clear_message_and_writes_nothing(
    changes, message, convert, tmp_path, capsys
):
    assert convert(**changes) == 1
    error = capsys.readouterr().err
    assert sum(line.startswith("error: ") for line in error.splitlines()) == 1
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_target_is_replaced_only_if_asked(convert, tmp_path, capsys):
    target = tmp_path / "tiny.weights.h5"
    Path(target).write_text("mine")
    assert convert() == 1
    assert "--overwrite" in capsys.readouterr().err
    assert Path(target).read_text() == "mine"
    assert convert("--overwrite") == 0


def test_debug_lets_the_error_through(convert):
    with pytest.raises(ValueError, match="`source`"):
        convert("--debug", source="missing.pth")
