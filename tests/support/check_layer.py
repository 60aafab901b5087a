"""Every public layer, and the checks that it must pass, whatever it computes."""

import keras
import numpy as np
import pytest

from t2t_keras import layers

_LAYERS = [  # each kind of a layer, with the shapes of its inputs
    (lambda: layers.SoftSplit(3, 2, 1), (9, 8, 4)),
    (lambda: layers.T2TBlock(8, 3, 2, 1), (10, 8, 4)),
    (lambda: layers.T2TBlock(8, 3, 2, 1, token_type="transformer"), (10, 8, 4)),
    (lambda: layers.TokenPerformer(8), (6, 12)),
    (lambda: layers.TokenTransformer(8), (6, 12)),
    (lambda: layers.ClassToken(), (3, 5, 8)),
    (lambda: layers.PositionTable((3, 5)), (16, 8), (3, 5, 8)),
    (lambda: layers.PositionTable((4, 4)), (16, 8), (3, 5, 8)),
    (lambda: layers.MultiHeadSelfAttention(2), (5, 8)),
    (lambda: layers.GhostAttention(2), (5, 8)),
    (lambda: layers.Mlp(3.0), (5, 8)),
    (lambda: layers.GhostMlp(), (5, 8)),
    (lambda: layers.SqueezeExcite(4), (5, 8)),
    (lambda: layers.StochasticDepth(0.1), (5, 8)),
    (lambda: layers.EncoderBlock(4, 3.0), (5, 32)),
    (lambda: layers.EncoderBlock(4, 3.0, block_type="squeeze_excite"), (5, 32)),
    (lambda: layers.EncoderBlock(4, 3.0, block_type="ghost"), (5, 32)),
    (lambda: layers.DeepNarrowEncoder(2, 4, 3.0, drop_path_rate=0.1), (5, 32)),
    (lambda: layers.DeepNarrowEncoder(1, 4, 3.0, block_type="ghost"), (5, 32)),
    (lambda: layers.DenseGrowthBlock(4, 2, 2.0), (5, 8)),
    (lambda: layers.Transition(), (5, 8)),
    (lambda: layers.DenseEncoder((1, 1), 4, 2, 2.0), (5, 8)),
    (lambda: layers.TokenPooling("token"), (5, 8)),
    (lambda: layers.TokenPooling("avg"), (5, 8)),
    (lambda: layers.TokenPooling("max"), (5, 8)),
    (lambda: layers.TokenMap(), (7, 4), (2, 3, 5)),
]
EVERY_LAYER = [
    pytest.param(make, shapes, id=f"{type(make()).__name__}-{number}")
    for number, (make, *shapes) in enumerate(_LAYERS)
]


def _model(layer, arrays):
    inputs = [keras.Input(batch_shape=(None, *array.shape[1:])) for array in arrays]
    return keras.Model(inputs, layer(*inputs))


def random(*shape, seed=0, scale=1.0):
    """Normal float32 values."""
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype("float32")


def numpy(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def run(function, *arrays) -> np.ndarray:
    """A layer's, model's or function's outputs; one graph on JAX, which else compiles each step."""
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    return numpy(function(*arrays))


def check_layer(layer: keras.layers.Layer, *arrays, tmp_path):
    """Config, shapes, compiled and not, half precision, saving, in a functional model.

    What is not compiled as a whole, JAX compiles op by op, which takes longer.
    """
    layer.build(*[array.shape for array in arrays])
    expected = run(layer, *arrays)
    assert expected.dtype == np.float32
    assert np.isfinite(expected).all()

    config = layer.get_config()
    clone = type(layer).from_config(config)
    assert clone.get_config() == config

    model = _model(layer, arrays)
    assert model.output_shape == (None, *expected.shape[1:])
    assert layer.compute_output_shape(*[array.shape for array in arrays]) == expected.shape
    feed = list(arrays)
    for jit_compile in (True,) if keras.backend.backend() == "jax" else (False, True):
        model.compile(jit_compile=jit_compile)
        np.testing.assert_allclose(
            model.predict(feed, verbose=0), expected, rtol=1e-4, atol=2e-5 * np.abs(expected).max()
        )

    path = tmp_path / "layer.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, compile=False)
    assert loaded.layers[-1].get_config() == config
    np.testing.assert_allclose(run(loaded, feed), expected, rtol=1e-4, atol=1e-5)

    for dtype, tolerance in (("bfloat16", 0.05), ("float16", 0.05 / 8)):
        half = type(layer).from_config({**config, "dtype": f"mixed_{dtype}"})
        half_model = _model(half, arrays)
        half.set_weights(layer.get_weights())
        assert half_model.output.dtype == dtype
        assert all(
            keras.backend.standardize_dtype(variable.dtype) == "float32"
            for variable in half.weights
            if "seed_generator" not in variable.path
        )
        error = np.abs(run(half_model, feed) - expected).mean()
        assert error <= tolerance * np.abs(expected).mean()
