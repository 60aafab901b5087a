"""`convert_weights.py`: one subprocess to see it as a user does, the rest in-process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from t2t_keras.cli.convert import ConvertConfig, run
from tests.conftest import DATA
from tests.support.tiny import tiny_model

ROOT = Path(__file__).parents[2]


def _config(tmp_path, **changes):
    settings = {
        "source": str(DATA / "tiny_performer.pth.tar"),
        "target": str(tmp_path / "tiny.weights.h5"),
        "num_heads": 2,
        **changes,
    }
    return ConvertConfig(**settings)


def test_script(tmp_path):
    target = tmp_path / "tiny.keras"
    arguments = [
        "--source=tests/goldens/tiny_performer_legacy.pth.tar",
        f"--target={target}",
        "--num_heads=2",
        "--verify",
    ]
    done = subprocess.run(
        [sys.executable, "convert_weights.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "blocks.2.mlp.fc2.weight" in done.stdout
    assert "64x64 pixels, 10 classes, 53,792 parameters" in done.stdout
    assert "verified: outputs differ by at most 0.0e+00" in done.stdout
    assert target.is_file()


@pytest.mark.parametrize("suffix", [".weights.h5", ".safetensors"])
def test_written_file_loads_as_weights(suffix, tmp_path, capsys):
    config = _config(tmp_path, target=str(tmp_path / f"tiny{suffix}"), verify=True)
    assert run(config) == 0
    assert "verified" in capsys.readouterr().out
    tiny_model(weights=config.target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "missing.pth"}, "--source must be an existing checkpoint"),
        ({"target": "model.h5"}, "`target` must end in .weights.h5, .keras, .safetensors"),
        ({"target": "no/such/folder/x.keras"}, "--target must be in an existing folder"),
        ({"num_heads": None}, "--num_heads"),
        ({"num_heads": 3}, "num_heads"),
        ({"model_name": "t2t_vit_15"}, "`model_name` must be one of"),
        ({"model_name": "t2t_vit_14"}, "is not of t2t_vit_14"),
        ({"key": "weights"}, "no state dict called 'weights'"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"source": str(DATA / "full_size.json")}, "not a PyTorch checkpoint"),
    ],
)
def test_an_error_is_one_clear_message_and_writes_nothing(changes, message, tmp_path, capsys):
    assert run(_config(tmp_path, **changes)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_target_is_replaced_only_if_asked(tmp_path, capsys):
    config = _config(tmp_path)
    Path(config.target).write_text("mine")
    assert run(config) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert Path(config.target).read_text() == "mine"
    assert run(_config(tmp_path, overwrite=True)) == 0


def test_debug_lets_the_error_through(tmp_path):
    with pytest.raises(ValueError, match="--source"):
        run(_config(tmp_path, source="missing.pth"), debug=True)
