"""The model of a run, ready for `fit`: weights, optimizer, loss and metrics."""

import contextlib
from collections.abc import Iterator

import keras

from t2t_keras.applications import T2TViT
from t2t_keras.errors import CheckpointError
from t2t_keras.models.structure import parts_of
from t2t_keras.training.config import BACKBONE, NOT_USED, PRECISIONS, TrainConfig
from t2t_keras.training.recipes import variant_of
from t2t_keras.variants import published_name
from t2t_keras.weights.load import check_weights, load_weights


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Models built inside compute in "float32", "bfloat16" or "float16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(PRECISIONS[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build_model(
    config: TrainConfig, classes: int, activation: str | None, drop_path_rate: float
) -> keras.Model:
    """A model of the run's sizes, with random weights."""
    name = config.model if isinstance(config.model, str) else "t2t_vit"
    return T2TViT(
        variant_of(config.model),
        weights=None,
        input_shape=(*config.image_size, 3),
        classes=classes,
        classifier_activation=activation,
        name=name,
        drop_path_rate=drop_path_rate,
    )


def check_run_weights(config: TrainConfig) -> None:
    """Raises a ValueError where the run's `weights` cannot be loaded, before any work."""
    check_weights(config.weights, published_name(variant_of(config.model)))


def check_freeze(freeze: str, depth: int, processes: int = 1) -> None:
    """Raises a ValueError where `freeze` does not go with the model's depth or the processes."""
    if freeze == BACKBONE and processes > 1:
        raise ValueError(
            "`freeze` must be none or a number where several processes train: one computes the "
            f"features. Received: freeze={freeze}"
        )
    if freeze not in (NOT_USED, BACKBONE) and int(freeze) > depth:
        raise ValueError(
            f"`freeze` must be at most {depth}, the model's blocks, or backbone. "
            f"Received: freeze={freeze}"
        )


def freeze_parts(model: keras.Model, freeze: str) -> None:
    """Has parts of a model stay as they are: "none", "backbone" or a number of blocks as text.

    With the first N blocks go stem and class token, which lie before them. They get no gradients
    and no weight decay; in training their dropout and stochastic depth go on, as in torch, where
    `requires_grad_(False)` does not end training mode. Of a frozen "backbone" features are computed
    as for the evaluation, without either.

    Raises:
        ValueError: The model has fewer blocks.
    """
    if freeze == NOT_USED:
        return
    parts = parts_of(model)
    check_freeze(freeze, len(parts.blocks))
    trained = [parts.head]
    if freeze != BACKBONE:
        trained += [*parts.blocks[int(freeze) :], parts.norm]
    for layer in model.layers:
        layer.trainable = layer in trained


def load_run_weights(model: keras.Model, config: TrainConfig, complete: bool) -> None:
    """Loads the run's `weights`, where it has any.

    Args:
        model: A model of the run's sizes.
        config: The run's settings.
        complete: Whether a classifier for other classes is an error; else it starts afresh, and
            with `transfer` any does.

    Raises:
        CheckpointError: The file is damaged or does not fit.
        DownloadError: Released weights cannot be fetched or stored.
    """
    if config.weights is None:
        return
    variant = variant_of(config.model)
    head = parts_of(model).head
    fresh = head.get_weights()
    report = load_weights(model, config.weights, variant, published_name(variant))
    if config.transfer and not complete:
        head.set_weights(fresh)
    if complete and report.fresh:
        raise CheckpointError(
            f"{config.weights}: holds no classifier for the {model.output_shape[-1]} classes of "
            f"{config.dataset}, so there is nothing to evaluate. Train one, or give the dataset "
            "that the weights were trained on."
        )


def inference_copy(trained: keras.Model, config: TrainConfig) -> keras.Model:
    """A float32 copy of a trained model on one device, giving probabilities."""
    classes = trained.output_shape[-1]
    with precision("float32"):
        copy = build_model(config, classes, "softmax", drop_path_rate=0.0)
    copy.set_weights(trained.get_weights())
    return copy


def with_logits(model: keras.Model) -> keras.Model:
    """The same model without its last activation."""
    return keras.Model(model.input, parts_of(model).head.output)
