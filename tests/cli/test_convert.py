"""The command `convert`: one subprocess to see the script as a user does, the rest in-process."""

from t2t_keras.cli.main import main
from tests.conftest import DATA
from tests.support.running import line, run_python
from tests.support.tiny import tiny_model


def test_script(tmp_path):
    target = tmp_path / "tiny.keras"
    source = "tests/goldens/tiny_performer_legacy.pth.tar"
    arguments = line("--verify", source=source, target=target, num_heads=2)
    done = run_python("convert_weights.py", *arguments)
    assert "blocks.2.mlp.fc2.weight" in done.stdout
    assert "64x64 pixels, 10 classes, 53,792 parameters" in done.stdout
    assert "verified: outputs differ by at most 0.0e+00" in done.stdout
    assert target.is_file()


def test_written_file_loads_as_weights(tmp_path, capsys):
    for suffix in (".weights.h5", ".safetensors"):
        source, target = DATA / "tiny_performer.pth.tar", tmp_path / f"tiny{suffix}"
        assert main(line("convert", "--verify", source=source, target=target, num_heads=2)) == 0
        assert "verified" in capsys.readouterr().out
        tiny_model(weights=str(target))
