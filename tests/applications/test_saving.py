"""What is saved comes back in a process that has only imported the package."""

import keras
import numpy as np
import pytest

from t2t_keras import T2TViT, features
from tests.conftest import DATA
from tests.support.check_layer import EVERY_LAYER
from tests.support.running import run_python
from tests.support.tiny import outputs_of, tiny_variant

LOAD = """
import pathlib, sys
import keras, numpy as np
import t2t_keras
for path in pathlib.Path(sys.argv[1]).glob("*.keras"):
    model = keras.saving.load_model(path)
    with np.load(path.with_suffix(".npz")) as inputs:
        given = [inputs[name] for name in sorted(inputs)]
    run = model.__call__ if keras.backend.backend() == "tensorflow" else model.predict
    outputs = run(given[0] if len(given) == 1 else given)
    np.save(path.with_suffix(".npy"), keras.ops.convert_to_numpy(outputs))
"""

VARIANTS = {
    "performer": tiny_variant(),
    "transformer_se": tiny_variant("transformer", block_type="squeeze_excite"),
    "convolution_ghost": tiny_variant("convolution", block_type="ghost"),
    "dense": tiny_variant(block_type="dense", depth=(1, 2), growth_rate=8),
}


def _models() -> dict[str, keras.Model]:
    models = {
        name: T2TViT(variant, classes=4, input_shape=(None, None, 3), drop_path_rate=0.1)
        for name, variant in VARIANTS.items()
    }
    for param in EVERY_LAYER if keras.backend.backend() == "tensorflow" else ():
        make, shapes = param.values
        inputs = [keras.Input(shape) for shape in shapes]
        alone = inputs[0] if len(inputs) == 1 else inputs
        models[param.id] = keras.Model(alone, make()(*inputs))
    return models


def test_keras_files_in_a_fresh_process(tmp_path):
    """Every layer and kind of model, in one process, which takes longer to start than to load."""
    rng, expected = np.random.default_rng(0), {}
    for name, model in _models().items():
        shapes = [(2, *(side or 48 for side in tensor.shape[1:])) for tensor in model.inputs]
        inputs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", *inputs)
        expected[name] = outputs_of(model, inputs[0] if len(inputs) == 1 else inputs)
    run_python("-c", LOAD, tmp_path)
    for name, array in expected.items():
        loaded = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(loaded, array, atol=1e-6, err_msg=name)


OLD = {  # files from before the blocks were layers of the model, and their variants
    "performer": {},
    "ghost_transformer": {"token_type": "transformer", "block_type": "ghost", "mlp_ratio": 3.0},
    "squeeze_excite_convolution": {"token_type": "convolution", "block_type": "squeeze_excite"},
    "dense": {"block_type": "dense", "depth": (1, 1), "growth_rate": 8},
}


@pytest.mark.parametrize(("name", "fields"), OLD.items(), ids=OLD)
def test_a_file_from_before_the_blocks_were_layers_of_the_model_loads(name, fields):
    """Its encoder is one layer, and its config holds the paths of modules that have moved."""
    old = keras.saving.load_model(DATA / "before_moves" / f"{name}.keras")
    with np.load(DATA / "before_moves" / "logits.npz") as arrays:
        images, expected = arrays["images"], arrays[name]
    np.testing.assert_allclose(old.predict(images, verbose=0), expected, atol=1e-5)
    with pytest.raises(ValueError, match="of an early version.*new.set_weights"):
        features(old)
    sizes = {"embed_dim": 16, "depth": 2, "token_dim": 8, "image_size": 32, "mlp_ratio": 2.0}
    new = T2TViT(tiny_variant(**{**sizes, **fields}), classes=4, classifier_activation=None)
    new.set_weights(old.get_weights())
    np.testing.assert_allclose(new.predict(images, verbose=0), expected, atol=1e-5)
