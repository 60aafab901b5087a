"""A type checker knows the public API: wrong calls are errors, right ones are not."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMPORTS = """
import numpy as np
import t2t_keras
from t2t_keras import data, export, training, visualize

images = np.zeros((1, 224, 224, 3), np.float32)
model = t2t_keras.T2TViT14(weights=None)
"""
CALLS = {  # a call -> what mypy says of it
    "t2t_keras.T2TViT14(True, None, classes=3, drop_path_rate=0.1)": "",
    "t2t_keras.T2TViT14(clases=3)": 'Unexpected keyword argument "clases"',
    "t2t_keras.T2TViT7(classes='3')": 'incompatible type "str"; expected "int"',
    "t2t_keras.T2TViT13()": 'Module has no attribute "T2TViT13"',
    "t2t_keras.T2TViT(t2t_keras.VARIANTS['t2t_vit_7'], input_shape=(None, None, 3))": "",
    "t2t_keras.T2TViT('t2t_vit_7')": 'expected "Variant"',
    "t2t_keras.Variant(embed_dim=8, depth=1, num_heads=1)": 'Missing named argument "mlp_ratio"',
    "t2t_keras.create_model('t2t_vit_7', weights=None)": "",
    "t2t_keras.load_image('cat.jpg', 384, crop_pct=1.0)": "",
    "t2t_keras.load_image('cat.jpg', crop=1.0)": 'Unexpected keyword argument "crop"',
    "t2t_keras.decode_predictions(images, top=3)": "",
    "t2t_keras.features(model, ['t2t_block_0', -1])": "",
    "t2t_keras.load_official_checkpoint(model)": "Missing positional argument",
    "training.make_config(dataset='digits', epochs=3, devices=('cpu:0',), lr=1)": "",
    "training.make_config(epochs='3')": 'Argument "epochs"',
    "training.make_config(epoch=3)": 'Unexpected keyword argument "epoch"',
    "training.train(training.make_config())": "Missing positional argument",
    "training.build_optimizer(model, 0.01, 0.0, layer_decay=0.75)": "",
    "data.open_source('digits').num_classes + 1": "",
    "data.open_source('digits').classes": 'has no attribute "classes"',
    "data.train_dataset(data.open_source('digits'), 16, 8, 0)": "",
    "export.export_saved_model(model, ['a', 'b'])": "Missing positional argument",
    "visualize.grad_cam(model, images, class_indx=0)": 'Unexpected keyword argument "class_indx"',
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> dict[str, str]:
    """Each call with mypy's errors on it."""
    mypy = pytest.importorskip("mypy.api")
    folder = tmp_path_factory.mktemp("types")
    lines = [*IMPORTS.splitlines(), *CALLS]
    (folder / "calls.py").write_text("\n".join(lines))
    settings = ["--config-file", os.fspath(ROOT / "pyproject.toml"), "--follow-imports=silent"]
    output, errors, _ = mypy.run([*settings, os.fspath(folder / "calls.py")])
    assert not errors
    said = dict.fromkeys(lines, "")
    for number, text in re.findall(r"calls\.py:(\d+): error: (.*)", output):
        said[lines[int(number) - 1]] += text
    assert set(filter(None, (said[line] for line in IMPORTS.splitlines()))) == set()
    return said


@pytest.mark.parametrize("call", CALLS)
def test_mypy_says_of_a_call(call, complaints):
    if CALLS[call]:
        assert CALLS[call] in complaints[call]
    else:
        assert complaints[call] == ""
