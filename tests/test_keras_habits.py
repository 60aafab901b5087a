"""What people do with a MobileNetV2 of keras.applications works with these models, side by side."""

import copy
import dataclasses
import inspect
import pickle

import keras
import numpy as np
import pytest
from keras.src.applications import mobilenet_v2
from keras.src.testing import TestCase

import t2t_keras
from t2t_keras.models.t2t_vit import dtype_scope
from tests.support.check_layer import random
from tests.support.tiny import outputs_of, tiny_variant

TENSORFLOW = keras.backend.backend() == "tensorflow"
on_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="is of TensorFlow")
IMAGES = random(4, 32, 32, 3)
LABELS = np.array([0, 1, 2, 3])
HEAD = {"weights": None, "classes": 4, "input_shape": (32, 32, 3)}


def t2t_vit(token_type="performer", **kwargs):
    arguments = {"classifier_activation": None, **HEAD, **kwargs}
    return t2t_keras.T2TViT(tiny_variant(token_type, depth=2), **arguments)


def some_blocks(inputs, *args, block_id, **kwargs):
    """One of MobileNetV2's blocks of each kind; all 17 of them would take most of the time."""
    return BLOCK(inputs, *args, block_id=block_id, **kwargs) if block_id in (0, 1, 2) else inputs


BLOCK = mobilenet_v2._inverted_res_block


def mobilenet(**kwargs):
    arguments = {"alpha": 0.35, "classifier_activation": None, **HEAD, **kwargs}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mobilenet_v2, "_inverted_res_block", some_blocks)
        model = keras.applications.MobileNetV2(**arguments)
    for layer in inner(model, keras.layers.BatchNormalization):
        # The initial 1 would let nothing but 1e-10 through to the logits.
        layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.18))
    return model


@pytest.fixture(params=[t2t_vit, mobilenet], ids=lambda make: make.__name__)
def make(request):
    """The model function: ours, and Keras' as the control."""
    return request.param


def predict(model):
    return outputs_of(model, IMAGES)


def compiled(model, optimizer="sgd", **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=TENSORFLOW, **kwargs)
    return model


def copies(model, folder):
    """The model after a file, after JSON, as a clone and after a pickle."""
    model.save(folder / "model.keras")
    yield keras.models.load_model(folder / "model.keras")
    yield keras.models.model_from_json(model.to_json())
    yield keras.models.clone_model(model)
    yield pickle.loads(pickle.dumps(model))


def inner(model, kind):
    return [layer for layer in model._flatten_layers() if isinstance(layer, kind)]


def test_frozen_layers_stay_frozen(make, tmp_path):
    model = make()
    total = len(model.trainable_variables)
    for layer in model.layers[: len(model.layers) // 2]:
        layer.trainable = False
    dense = inner(model, keras.layers.Dense)[-2:]  # in ours one of them lies inside a block
    dense[0].trainable = False
    paths = [variable.path for variable in model.trainable_variables]
    assert 0 < len(paths) < 0.6 * total and dense[0].kernel.path not in paths
    for other in copies(model, tmp_path):
        assert [variable.path for variable in other.trainable_variables] == paths
    before = {variable.path: np.array(variable) for variable in model.weights}
    compiled(model).train_on_batch(IMAGES, LABELS)
    changed = {v.path for v in model.weights if not np.array_equal(v, before[v.path])}
    assert {path for path in changed if "moving_" not in path} == set(paths)


def test_a_frozen_base_stays_frozen_below_a_new_head(make, tmp_path):
    base = make(include_top=False, pooling="avg")
    base.trainable = False
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Dense(3)(keras.layers.Dropout(0.2)(base(inputs, training=False)))
    model = keras.Model(inputs, outputs)
    for other in copies(model, tmp_path):
        assert len(other.trainable_variables) == 2
    base.trainable = True
    assert len(model.trainable_variables) == len(base.trainable_variables) + 2


def test_every_layer_s_outputs_can_be_had(make):
    model = make()
    names = [layer.name for layer in model.layers]
    outputs = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    for name, array in outputs.predict(IMAGES, verbose=0).items():
        assert array.shape[1:] == model.get_layer(name).output.shape[1:]
        assert np.isfinite(array).all()
    model.summary(expand_nested=True, show_trainable=True, print_fn=lambda line: None)


@on_tensorflow
@pytest.mark.parametrize("last", [-1, -2])
def test_grad_cam_by_the_recipe_of_keras_io(make, last):
    import tensorflow as tf

    model = make(classifier_activation="softmax")
    model.layers[-1].activation = None
    maps = [layer for layer in model.layers if len(layer.output.shape) == 4]
    grad_model = keras.Model(model.inputs, [maps[last].output, model.output])
    with tf.GradientTape() as tape:
        features, scores = grad_model(IMAGES[:1])
        channel = scores[:, tf.argmax(scores[0])]
    assert abs(float(tf.reduce_sum(scores)) - 1) > 1e-3  # logits, no probabilities
    weights = tf.reduce_mean(tape.gradient(channel, features), axis=(0, 1, 2))
    heatmap = tf.squeeze(features[0] @ weights[..., tf.newaxis])
    assert np.isfinite(heatmap).all() and np.abs(heatmap).max() > 0


@on_tensorflow
def test_checkpoints_of_tensorflow_hold_every_weight(make, tmp_path):
    import tensorflow as tf

    model, other = make(), make()
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    assert len(tf.train.list_variables(path)) > len(model.weights)
    tf.train.Checkpoint(model=other).restore(path).expect_partial()
    np.testing.assert_array_equal(predict(other), predict(model))


@pytest.mark.parametrize(("mode", "tolerance"), [("int8", 0.05), ("float8", 0.25), ("int4", 0.5)])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_weights_give_nearly_the_same_and_reload_exactly(make, mode, tolerance, tmp_path):
    model = make()
    model.layers[-1].kernel.assign(random(*model.layers[-1].kernel.shape))
    before = predict(model)
    model.quantize(mode)
    after = predict(model)
    assert 0 < np.abs(after - before).max() <= tolerance * np.abs(before).max()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(again), after)
    modes = {layer.quantization_mode for layer in inner(again, keras.layers.Dense)}
    assert modes == {mode}
    if TENSORFLOW and mode == "int8":
        np.testing.assert_allclose(exported(again, tmp_path / "served"), after, atol=1e-5)


def exported(model, folder):
    import tensorflow as tf

    model.export(folder, verbose=False)
    loaded = tf.saved_model.load(folder)  # without a name of its own it would lose its variables
    return loaded.serve(IMAGES).numpy()


def test_lora_trains_its_factors_and_is_merged_in_a_file(make, tmp_path):
    model = make()
    dense = inner(model, keras.layers.Dense)
    for layer in dense:
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(0.1 * random(*layer.lora_kernel_b.shape))
    trained = [variable.path for variable in model.trainable_variables]
    assert not {layer.path + "/kernel" for layer in dense} & {*trained}
    compiled(model).train_on_batch(IMAGES, LABELS)
    expected = predict(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(predict(loaded), expected, atol=1e-5)
    assert [variable.path for variable in loaded.trainable_variables] == trained


def test_regularizers_and_rates_set_afterwards_are_in_the_config(make, tmp_path):
    model = make(include_top=False)
    kernels = [layer for layer in model._flatten_layers() if hasattr(layer, "kernel_regularizer")]
    for layer in kernels:
        layer.kernel_regularizer = keras.regularizers.L2(0.01)
    for layer in inner(model, keras.layers.Dropout):
        layer.rate = 0.25
    regular = keras.models.model_from_json(model.to_json())
    regular.set_weights(model.get_weights())
    assert len(regular.losses) == len(kernels) > 1
    expected = float(sum(regular.losses))
    for other in copies(regular, tmp_path):
        other.set_weights(regular.get_weights())
        assert float(sum(other.losses)) == pytest.approx(expected)
        assert {layer.rate for layer in inner(other, keras.layers.Dropout)} <= {0.25}


@pytest.mark.parametrize("name", ["float64", "mixed_bfloat16", "mixed_float16", "map"])
def test_policies_are_those_of_the_model_and_its_file(make, name, tmp_path):
    if name == "float64" and not TENSORFLOW:
        pytest.skip("JAX has no float64 by default")
    policies = keras.dtype_policies.DTypePolicyMap("mixed_bfloat16")
    for path in ("project", "t2t_block_0/token_layer/in_proj", "encoder_block_1/.*", "Conv1"):
        policies[path] = keras.dtype_policies.DTypePolicy("float32")
    policies = policies if name == "map" else name
    if make is t2t_vit:
        model = make(dtype=policies)  # an argument that Keras' functions do not have
    else:
        with dtype_scope(policies):
            model = make()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for layer, other in zip(model.layers[1:], loaded.layers[1:], strict=True):
        pairs = zip(layer._flatten_layers(), other._flatten_layers(), strict=True)
        assert all(one.compute_dtype == two.compute_dtype for one, two in pairs)
    outputs = predict(model)
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(predict(loaded), outputs)
    if name == "float64":
        assert outputs.dtype == np.float64


def test_float64_is_not_rounded_on_its_way():
    if not TENSORFLOW:
        pytest.skip("JAX has no float64 by default")
    for model in [t2t_vit(kind, dtype="float64") for kind in ("performer", "transformer")]:
        kernel = model.get_layer("t2t_block_0").token_layer.in_proj.kernel
        before = predict(model)
        kernel.assign(kernel * (1 + 1e-10 * np.random.default_rng(0).normal(size=kernel.shape)))
        assert 0 < np.abs(predict(model) - before).max() < 1e-8


@on_tensorflow
def test_fit_on_a_folder_with_keras_callbacks(make, tmp_path):
    for label in range(2):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "images" / str(label) / f"{number}.png"
            keras.utils.save_img(path, IMAGES[label + number])
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path / "images", image_size=(32, 32), batch_size=2, verbose=False
    )
    optimizer = keras.optimizers.AdamW(1e-3, use_ema=True, ema_momentum=0.5)
    callbacks = [
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.EarlyStopping(restore_best_weights=True),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    model = compiled(make(), optimizer, metrics=["accuracy"])
    fitted = {"validation_data": dataset, "callbacks": callbacks, "class_weight": {0: 1.0, 1: 2.0}}
    history = model.fit(dataset, epochs=1, verbose=0, **fitted).history
    assert set(history) >= {"loss", "accuracy", "val_loss"} and np.isfinite(history["loss"]).all()
    best = keras.models.load_model(tmp_path / "best.keras")
    assert best.evaluate(dataset, verbose=0, return_dict=True)["loss"] > 0


@on_tensorflow
def test_keras_tuner_reloads_the_best_model_that_it_found(make, tmp_path):
    import keras_tuner

    def build(choices):
        return compiled(make(), keras.optimizers.SGD(choices.Choice("rate", [1e-3, 1e-1])))

    tuner = keras_tuner.RandomSearch(build, "val_loss", 2, directory=tmp_path)
    tuner.search(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0)
    scores = [trial.score for trial in tuner.oracle.trials.values()]
    assert len({*scores}) == 2
    (best,) = tuner.get_best_models(1)
    assert best.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(min(scores), rel=1e-5)


@on_tensorflow
def test_mlflow_logs_a_run_and_a_model_that_loads(make, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="no extra has it, for its 60 packages")
    monkeypatch.chdir(tmp_path)  # where it keeps what it logs
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    mlflow.tensorflow.autolog(log_models=True)
    model = compiled(make())
    with mlflow.start_run() as run:
        loss = model.fit(IMAGES, LABELS, verbose=0).history["loss"][-1]
    assert mlflow.get_run(run.info.run_id).data.metrics["loss"] == pytest.approx(loss)
    loaded = mlflow.tensorflow.load_model(f"runs:/{run.info.run_id}/model")
    np.testing.assert_array_equal(predict(loaded), predict(model))


def test_a_train_step_of_one_s_own(make):
    class Distilled(keras.Model):
        def train_step(self, *args, **kwargs):
            self.steps = getattr(self, "steps", 0) + 1
            return super().train_step(*args, **kwargs)

    base = make()
    model = Distilled(base.input, base.output)
    before = model.layers[-1].get_weights()
    compiled(model).fit(IMAGES, LABELS, batch_size=4, verbose=0)
    assert model.steps == 1
    assert not np.array_equal(before[0], base.layers[-1].kernel)


def test_a_model_is_a_layer_of_others(make, tmp_path):
    model = make(include_top=False, pooling="avg")
    video = keras.Input((2, 32, 32, 3))
    left, right = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    distance = keras.layers.Subtract()([model(left), model(right)])
    twins = keras.Model([left, right], distance)
    np.testing.assert_array_equal(twins.predict([IMAGES, IMAGES], verbose=0), 0)
    frames = keras.Model(video, keras.layers.TimeDistributed(model)(video))
    outputs = frames.predict(IMAGES.reshape(2, 2, 32, 32, 3), verbose=0)
    np.testing.assert_allclose(outputs.reshape(4, -1), predict(model), atol=1e-5)
    np.testing.assert_allclose(predict(copy.deepcopy(model)), predict(model), atol=1e-6)
    inputs = keras.Input((32, 32, 3))
    clone = keras.models.clone_model(model, input_tensors=inputs)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(predict(clone), predict(model), atol=1e-6)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make(include_top=False, pooling="avg")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(predict(other), predict(model))


def test_a_stateless_call_is_the_call(make):
    model = make()
    states = (model.trainable_variables, model.non_trainable_variables)
    values = [[variable.value for variable in variables] for variables in states]
    outputs, _ = model.stateless_call(*values, IMAGES[:1], training=False)
    np.testing.assert_allclose(outputs, predict(model)[:1], atol=1e-5)


def test_rematerialized_layers_train_the_same(make):
    results = []
    for scope in ("list_of_layers", None):
        keras.utils.set_random_seed(0)
        with keras.RematScope(scope, layer_names=["project", "Conv_1"]):
            model = make()
        compiled(model).fit(IMAGES, LABELS, verbose=0)
        results.append(model.get_weights())
    for ours, plain in zip(*results, strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)


@on_tensorflow
def test_converts_to_litert_at_any_size(tmp_path):
    """One model with every layer that a published one has, but the stem of convolutions."""
    from ai_edge_litert.interpreter import Interpreter

    variant = tiny_variant("transformer", depth=1, block_type="squeeze_excite")
    base = t2t_keras.T2TViT(variant, include_top=False, input_shape=(None, None, 3))
    tokens = t2t_keras.layers.EncoderBlock(2, 3.0, block_type="ghost")(base.output)
    tokens = t2t_keras.layers.DenseEncoder((1, 1), 8, num_heads=2, mlp_ratio=2.0)(tokens)
    windows = t2t_keras.layers.TokenPerformer(8)(tokens)
    model = keras.Model(base.input, keras.layers.Dense(4)(windows[:, 0]))
    model.export(tmp_path / "model.tflite", format="litert", verbose=False)
    reader = Interpreter(str(tmp_path / "model.tflite"))
    (given,), (got,) = reader.get_input_details(), reader.get_output_details()
    images = random(1, 48, 32, 3)
    reader.resize_tensor_input(given["index"], images.shape)
    reader.allocate_tensors()
    reader.set_tensor(given["index"], images)
    reader.invoke()
    np.testing.assert_allclose(reader.get_tensor(got["index"]), model(images), atol=1e-5)


@pytest.fixture(params=[name for name in dir(t2t_keras) if name[:6] == "T2TViT" and name[6:]])
def function(request, monkeypatch):
    """Each public model function, its variant made small."""
    name = inspect.signature(getattr(t2t_keras, request.param)).parameters["name"].default
    variant = t2t_keras.VARIANTS[name]
    depth = (1, 1) if isinstance(variant.depth, tuple) else 1
    small = dataclasses.replace(variant, depth=depth, embed_dim=variant.num_heads * 4)
    monkeypatch.setitem(t2t_keras.VARIANTS, name, small)
    return getattr(t2t_keras, request.param)


def test_the_checks_of_keras_own_applications_test(function):
    case = TestCase()
    case.run_class_serialization_test(function(weights=None))
    for shape in ((None, None, 1), (None, None, 4), (123, 131, 3)):
        model = function(weights=None, include_top=False, input_shape=shape)
        assert len(model.output_shape) == 3 and model.output_shape[-1] is not None
    pooled = function(weights=None, include_top=False, pooling="avg")
    assert pooled.output_shape == (None, model.output_shape[-1])
    model = function(weights=None, classifier_activation="softmax")
    assert model.layers[-1].activation.__name__ == "softmax"
    assert model.output_shape == (None, 1000)
    inputs = keras.Input((64, 64, 3))
    assert function(weights=None, input_tensor=inputs, classes=5).output_shape == (None, 5)
    with pytest.raises(ValueError, match="`weights`"):
        function(weights="unknown")
