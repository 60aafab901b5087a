import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from t2t_keras.weights.formats import save_weights


def model(seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Input((8,)), keras.layers.Dense(16), keras.layers.LayerNormalization()]
    return keras.Sequential(layers)


def equal(one, other):
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_keras_loads_what_was_saved(tmp_path):
    saved, loaded = model(0), model(1)
    assert not equal(saved, loaded)
    save_weights(saved, tmp_path / "m.weights.h5")
    loaded.load_weights(tmp_path / "m.weights.h5")
    assert equal(saved, loaded)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="`path` must be a file that ends in.*Received: path=.*m.h5"
    ):
        save_weights(model(0), tmp_path / "m.h5")
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import pathlib, resource, sys
import keras
from t2t_keras.errors import DownloadError
from t2t_keras.weights.download import cached_conversion
from t2t_keras.weights.formats import save_weights

folder = pathlib.Path(sys.argv[1])
model = keras.Sequential([keras.layers.Input((32,)), keras.layers.Dense(2048)])
path = folder / "m.weights.h5"
save_weights(model, path)
old = path.read_bytes()
source = folder / "source"
source.write_bytes(b"official")
failures = 0
for share in range(20):
    limit = len(old) * share // 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save_weights(model, path)
    except OSError:
        failures += 1
    try:
        cached_conversion(source, "m", lambda p: save_weights(model, p), "1", folder / "home")
    except DownloadError as error:
        failures += "KERAS_HOME" in str(error)
    kept = sorted(p.name for p in folder.iterdir())
    cached = [p.name for p in (folder / "home").rglob("*") if p.suffix != ".lock" and p.is_file()]
    if path.read_bytes() != old or kept != ["home", "m.weights.h5", "source"] or cached:
        raise SystemExit(f"at {limit}: {kept} {cached}")
raise SystemExit(0 if failures == 40 else f"{failures} of 40")
"""


def test_a_full_disk_is_an_error_that_keeps_the_old_file_and_the_process(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    # With the HDF5 library writing the file, this ends in a segmentation fault.
    assert done.returncode == 0, done.stderr[-2000:]
