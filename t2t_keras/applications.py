"""Model functions with the signature of `keras.applications`."""

import difflib
import fnmatch
import inspect
import numbers
import os
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import keras

from t2t_keras.errors import check
from t2t_keras.models.t2t_vit import MIN_SIDE, build_model, dtype_scope
from t2t_keras.variants import VARIANTS, Variant, published_name
from t2t_keras.weights.load import check_weights, load_weights

_POOLINGS = (None, "token", "avg", "max")
_OWN_ARGUMENT = "    variant_config: The sizes.\n"
_Arguments = ParamSpec("_Arguments")


def list_models(pattern: str = "*") -> list[str]:
    """Names of the published variants, in the paper's order.

    Args:
        pattern: Shell-style pattern a name must match, such as "t2t_vit_t_*".
    """
    return [name for name in VARIANTS if fnmatch.fnmatchcase(name, pattern)]


def create_model(name: str, **kwargs: Any) -> keras.Model:
    """The published variant of that name.

    Args:
        name: One of `list_models()`, case-insensitive.
        **kwargs: As the model function takes them, such as `weights` or `classes`.

    Raises:
        ValueError: No variant has that name; the message lists similar ones.
    """
    key = name.lower()
    near = difflib.get_close_matches(key, VARIANTS, n=3) or list(VARIANTS)
    expected = f"one of `t2t_keras.list_models()`, such as {', '.join(near)}"
    check(key in VARIANTS, "name", name, expected)
    return T2TViT(VARIANTS[key], **{"weights": "imagenet", "name": key, **kwargs})


def _check_arguments(
    include_top: bool, weights: Any, pooling: str | None, classes: int, activation: Any
) -> None:
    order = keras.config.image_data_format()
    expected = "channels_last: call `keras.config.set_image_data_format`"
    check(order == "channels_last", "image_data_format", order, expected)
    check(pooling in _POOLINGS, "pooling", pooling, f"one of {_POOLINGS}")
    if include_top:
        whole = isinstance(classes, numbers.Integral) and classes >= 1
        check(whole, "classes", classes, "a whole number of at least 1")
        plain = weights is None or activation in (None, "softmax")
        expected = "None or 'softmax' where weights are given"
        check(plain, "classifier_activation", activation, expected)


def _check_shape(shape: tuple) -> None:
    expected = "(height, width, channels), each a number, or None for height and width"
    check(len(shape) == 3, "input_shape", shape, expected)
    *sides, channels = shape
    large = all(side is None or side >= MIN_SIDE for side in sides)
    expected = f"of a height and width of at least {MIN_SIDE} pixels"
    check(large, "input_shape", shape, expected)
    counted = channels is not None and channels >= 1
    expected = "(height, width, channels) with a number of channels, 3 for color images"
    check(counted, "input_shape", shape, expected)


def _image_tensor(
    input_tensor: Any, input_shape: tuple | None, variant: Variant
) -> tuple[keras.KerasTensor, Any]:
    """The images' Keras tensor and the model's inputs."""
    if input_tensor is None:
        shape = input_shape or (variant.image_size, variant.image_size, 3)
        _check_shape(tuple(shape))
        images = keras.Input(shape, name="image")
        return images, images
    symbolic = keras.utils.is_keras_tensor(input_tensor)
    expected = "a Keras tensor, such as `keras.Input(...)` gives"
    check(symbolic, "input_tensor", input_tensor, expected)
    given = tuple(input_tensor.shape[1:])
    _check_shape(given)
    same = input_shape is None or tuple(input_shape) == given
    expected = f"the shape of `input_tensor`, {given}, where both are given"
    check(same, "input_shape", input_shape, expected)
    inputs = keras.utils.get_source_inputs(input_tensor)
    return input_tensor, inputs[0] if len(inputs) == 1 else inputs  # Keras warns of a list of one


def T2TViT(  # noqa: N802 - a model function is spelled as in keras.applications
    variant_config: Variant,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "t2t_vit",
    *,
    drop_rate: float = 0.0,
    attn_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    weights_key: str = "auto",
    dtype: Any = None,
) -> keras.Model:
    """A T2T-ViT with custom sizes.

    Args:
        variant_config: The sizes.
        include_top: True makes the classifier on the class token part of the model.
        weights: "imagenet" (the authors' released weights, fetched once and kept), the path of a
            `.weights.h5`, `.keras`, `.safetensors`, official `.pth` / `.pth.tar` or `.ckpt` file,
            or None (random weights).
        input_tensor: Keras tensor to build the model on, (B, H, W, C) normalized images.
        input_shape: (height, width, channels) in pixels; default the variant's own, (224, 224, 3).
            Any height and width from 16 up, square or not, or None for both: the position table
            follows. Weights are for 3 channels; for another number they are adapted by timm's
            rule.
        pooling: Without the classifier: None gives all tokens (B, 1 + N, D), the class token
            first; "token" the class token, "avg" and "max" the patch tokens' mean and maximum,
            each (B, D). Ignored with it.
        classes: Number of classes. Where weights are for another number, the classifier starts
            from random values, which is logged.
        classifier_activation: "softmax" or None (logits); with `weights=None` any activation.
        name: Name of the model.
        drop_rate: Fraction of values dropped after positions, attention and in the encoder's MLPs,
            in [0, 1). The stem's performers always drop 0.1 in training, as the authors' do.
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        drop_path_rate: Stochastic depth's rate in the deepest block, in [0, 1); 0.1 in the
            authors' training.
        weights_key: The state dict in a `.pth` or `.ckpt` file that holds several; see
            `load_official_checkpoint`.
        dtype: Precision or dtype policy of all layers, such as "mixed_bfloat16"; None takes
            Keras' global one.

    Returns:
        A functional `keras.Model`. Its images come from `t2t_keras.preprocess_input`.

    Raises:
        ValueError: An argument is out of range.
        CheckpointError: A file of weights is damaged or does not fit.
        DownloadError: Released weights cannot be fetched or stored.

    Reference: arXiv:2101.11986; official `t2t_vit.T2T_ViT`.
    """
    expected = "a `t2t_keras.Variant`; for a published model call `create_model(name)`"
    check(isinstance(variant_config, Variant), "variant_config", variant_config, expected)
    variant_name = published_name(variant_config)
    check_weights(weights, variant_name, weights_key)
    _check_arguments(include_top, weights, pooling, classes, classifier_activation)
    rates = dict(drop_rate=drop_rate, attn_drop_rate=attn_drop_rate, drop_path_rate=drop_path_rate)
    for rate_name, rate in rates.items():
        check(0 <= rate < 1, rate_name, rate, "in [0, 1)")
    with dtype_scope(dtype):
        images, inputs = _image_tensor(input_tensor, input_shape, variant_config)
        model = build_model(
            variant_config,
            images,
            inputs=inputs,
            include_top=include_top,
            pooling=pooling,
            classes=int(classes) if include_top else classes,
            classifier_activation=classifier_activation,
            name=name,
            **rates,
        )
    if weights is not None:
        load_weights(model, weights, variant_config, variant_name, weights_key)
    return model


def _published(
    function: Callable[Concatenate[Variant, _Arguments], keras.Model],
    function_name: str,
    variant_name: str,
) -> Callable[_Arguments, keras.Model]:
    """Returns a published variant's model function: `function`'s signature, other defaults."""
    signature, defaults = inspect.signature(function), {"weights": "imagenet", "name": variant_name}
    _, *parameters = signature.parameters.values()
    signature = signature.replace(
        parameters=[p.replace(default=defaults.get(p.name, p.default)) for p in parameters]
    )

    def create(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> keras.Model:
        given = signature.bind(*args, **kwargs).arguments
        return function(VARIANTS[variant_name], **{**defaults, **given})  # type: ignore[call-arg]

    create.__signature__ = signature  # type: ignore[attr-defined]
    create.__name__ = create.__qualname__ = function_name
    # Python 3.13 keeps docstrings without their indentation, and -OO keeps none.
    arguments = inspect.cleandoc(function.__doc__ or "").partition(_OWN_ARGUMENT)[2]
    create.__doc__ = f"The published variant `{variant_name}`.\n\nArgs:\n{arguments}"
    return create


T2TViT7 = _published(T2TViT, "T2TViT7", "t2t_vit_7")
T2TViT10 = _published(T2TViT, "T2TViT10", "t2t_vit_10")
T2TViT12 = _published(T2TViT, "T2TViT12", "t2t_vit_12")
T2TViT14 = _published(T2TViT, "T2TViT14", "t2t_vit_14")
T2TViT19 = _published(T2TViT, "T2TViT19", "t2t_vit_19")
T2TViT24 = _published(T2TViT, "T2TViT24", "t2t_vit_24")
T2TViTt14 = _published(T2TViT, "T2TViTt14", "t2t_vit_t_14")
T2TViTt19 = _published(T2TViT, "T2TViTt19", "t2t_vit_t_19")
T2TViTt24 = _published(T2TViT, "T2TViTt24", "t2t_vit_t_24")
T2TViT14ResNeXt = _published(T2TViT, "T2TViT14ResNeXt", "t2t_vit_14_resnext")
T2TViT14Wide = _published(T2TViT, "T2TViT14Wide", "t2t_vit_14_wide")
T2TViT14SE = _published(T2TViT, "T2TViT14SE", "t2t_vit_14_se")
T2TViT16Ghost = _published(T2TViT, "T2TViT16Ghost", "t2t_vit_16_ghost")
T2TViTDense = _published(T2TViT, "T2TViTDense", "t2t_vit_dense")
T2TViTc14 = _published(T2TViT, "T2TViTc14", "t2t_vit_c_14")
