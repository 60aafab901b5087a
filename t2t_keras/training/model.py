"""The model of a run: built, loaded, frozen and compiled."""

import contextlib
from typing import Any

import keras

from t2t_keras.applications import T2TViT
from t2t_keras.errors import CheckpointError, check
from t2t_keras.models.structure import parts_of, require_head
from t2t_keras.models.t2t_vit import dtype_scope
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.config import BACKBONE, NOT_USED, PRECISIONS, TrainConfig
from t2t_keras.training.devices.mirrored import decorrelate_dropout
from t2t_keras.training.devices.run_devices import Devices, check_global_batch, make_devices
from t2t_keras.training.optimizers.accumulation import accumulating, check_parts
from t2t_keras.training.optimizers.optimizer import build_optimizer
from t2t_keras.training.recipes import variant_of
from t2t_keras.training.schedule import PerEpoch
from t2t_keras.variants import Variant, published_name
from t2t_keras.weights.load import check_weights, load_weights


def check_run(config: TrainConfig, parts: int = 1) -> Devices:
    """Finds a run's devices and checks its settings against them and the model, before any work."""
    variant = variant_of(config.model)
    check_weights(config.weights, published_name(variant), config.weights_key)
    check_parts(parts)
    devices = make_devices(config.devices)
    processes = devices.processes.count
    check_freeze(config.freeze, variant, processes)
    check_global_batch(config.batch_size, devices.replicas, parts, processes)
    return devices


def check_freeze(freeze: str, variant: Variant, processes: int = 1) -> None:
    """Raises a ValueError where `freeze` does not fit the model's depth or the processes."""
    alone = freeze != BACKBONE or processes == 1
    expected = "none or a number where several processes train: one computes the features"
    check(alone, "freeze", freeze, expected)
    depth = variant.depth
    if not isinstance(depth, int):  # a dense encoder has a transition between two groups
        depth = sum(depth) + len(depth) - 1
    fits = freeze in (NOT_USED, BACKBONE) or int(freeze) <= depth
    check(fits, "freeze", freeze, f"at most {depth}, the model's blocks, or backbone")


def classifier_parts(model: keras.Model) -> Any:
    """The parts of a model with a classifier, none of which is None."""
    parts = parts_of(model)
    require_head(parts)
    return parts


def precision(name: str) -> contextlib.AbstractContextManager:
    """Makes models built inside compute in "float32", "bfloat16" or "float16"."""
    return dtype_scope(PRECISIONS[name])


def compiled_model(
    config: TrainConfig, classes: int, state: RunState, devices: Devices
) -> tuple[keras.Model, keras.Model]:
    """Builds and compiles the model of a run on its devices, with the weights it starts from.

    Returns it, and the whole model from images to logits: the same one, unless the classifier alone
    is trained, as a model on features.
    """
    jit_compile = devices.use_xla(config.jit_compile)
    with devices.build_scope(), precision(config.precision):
        full_model = build_model(config, classes, None, config.drop_path_rate)
        load_run_weights(full_model, config, complete=False)
        freeze_parts(full_model, config.freeze)
        probes = config.freeze == BACKBONE
        model = accumulating(probe_of(full_model) if probes else full_model, config.accumulate)
        optimizer = build_optimizer(
            model,
            PerEpoch(state.rates, state.steps_per_epoch),
            config.weight_decay,
            config.optimizer,
            ema_decay=config.ema_decay,
            clip_grad=config.clip_grad,
            backbone_lr_ratio=config.backbone_lr_ratio,
            layer_decay=config.layer_decay,
            decay_all=config.decay_all,
            nesterov=config.nesterov,
        )
        model.compile(
            optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5_accuracy"),
            ],
            jit_compile=jit_compile,
        )
        _build_metrics(model, classes)
        if probes:
            full_model.compile(jit_compile=jit_compile)
    decorrelate_dropout(model)
    return model, full_model if probes else model


def _build_metrics(model: keras.Model, classes: int) -> None:
    """Builds the loss and metrics; else Keras' `fit` traces the whole model once more for them."""
    blank = keras.ops.zeros((1, classes))
    model.compute_loss(y=blank, y_pred=blank)
    model.compute_metrics(None, blank, blank)
    model.reset_metrics()


def build_model(
    config: TrainConfig, classes: int, activation: str | None, drop_path_rate: float
) -> keras.Model:
    """A model of the run's sizes, with random weights."""
    return T2TViT(
        variant_of(config.model),
        weights=None,
        input_shape=(*config.image_size, 3),
        classes=classes,
        classifier_activation=activation,
        name=config.model if isinstance(config.model, str) else "t2t_vit",
        drop_path_rate=drop_path_rate,
    )


def load_run_weights(model: keras.Model, config: TrainConfig, complete: bool) -> None:
    """Loads the run's `weights`, if it has any.

    A classifier for other classes starts afresh, with `transfer` any does; where `complete` weights
    are needed, to evaluate them, that is an error.
    """
    if config.weights is None:
        return
    variant, head = variant_of(config.model), classifier_parts(model).head
    fresh = head.get_weights()
    name, key = published_name(variant), config.weights_key
    report = load_weights(model, config.weights, variant, name, key)
    if config.transfer and not complete:
        head.set_weights(fresh)
    if complete and report.fresh:
        raise CheckpointError(
            f"{config.weights}: holds no classifier for the {model.output_shape[-1]} classes of "
            f"{config.dataset}, so there is nothing to evaluate. Train one, or give the dataset "
            "that the weights were trained on."
        )


def freeze_parts(model: keras.Model, freeze: str) -> None:
    """Freezes parts of a model: "none", "backbone" or the number of the first blocks, as text.

    Stem and class token, which come before the blocks, are frozen with them. Frozen parts get no
    gradients and no weight decay; their dropout and stochastic depth stay on in training, as in
    torch, where `requires_grad_(False)` does not end training mode. The features of a frozen
    "backbone" are computed as in an evaluation, without either.
    """
    if freeze == NOT_USED:
        return
    parts = classifier_parts(model)
    trained = [parts.head]
    if freeze != BACKBONE:
        trained += [*parts.blocks[int(freeze) :], parts.norm]
    for layer in model.layers:
        layer.trainable = layer in trained


def probe_of(model: keras.Model) -> keras.Model:
    """The classifier of a model as a model on features; the two share its weights."""
    parts = classifier_parts(model)
    vector = keras.Input(parts.pooling.output.shape[1:], name="features")
    outputs = parts.head(vector)
    return keras.Model(vector, outputs, name="probe")


def inference_copy(trained: keras.Model, config: TrainConfig) -> keras.Model:
    """A float32 copy of a trained model on one device, giving probabilities; as frozen as that."""
    classes = trained.output_shape[-1]
    with precision("float32"):
        copy = build_model(config, classes, "softmax", drop_path_rate=0.0)
    copy.set_weights(trained.get_weights())
    freeze_parts(copy, config.freeze)
    return copy
