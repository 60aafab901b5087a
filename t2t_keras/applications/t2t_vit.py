"""The public model functions, in the order and meaning of `keras.applications`."""

import inspect
import os

import keras

from t2t_keras.applications.arguments import check_arguments, image_tensor
from t2t_keras.models import build_model
from t2t_keras.variants import VARIANTS, Variant, published_name
from t2t_keras.weights.load import check_weights, load_weights

_OWN_ARGUMENT = "    variant_config: The sizes.\n"


def _build(
    variant: Variant,
    variant_name: str | None,
    include_top: bool,
    weights: str | os.PathLike | None,
    input_tensor,
    input_shape,
    pooling: str | None,
    classes: int,
    classifier_activation,
    name: str,
    drop_rates: dict,
) -> keras.Model:
    check_weights(weights, variant_name)
    check_arguments(
        include_top, weights, pooling, classes, classifier_activation, drop_rates=drop_rates
    )
    images, inputs = image_tensor(input_tensor, input_shape, variant, weights)
    model = build_model(
        variant,
        images,
        inputs=inputs,
        include_top=include_top,
        pooling=pooling,
        classes=int(classes) if include_top else None,
        classifier_activation=classifier_activation,
        name=name,
        drop_rates=drop_rates,
    )
    if weights is not None:
        load_weights(model, weights, variant, variant_name)
    return model


def T2TViT(  # noqa: N802 - a model function is spelled as in keras.applications
    variant_config: Variant,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor=None,
    input_shape: tuple[int | None, int | None, int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "t2t_vit",
    *,
    drop_rate: float = 0.0,
    attn_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """A T2T-ViT of one's own sizes.

    Args:
        variant_config: The sizes.
        include_top: Whether the classifier on the class token is part of the model.
        weights: "imagenet" (the authors' released weights, fetched once and kept), the path of a
            `.weights.h5`, `.keras`, `.safetensors` or official `.pth` / `.pth.tar` file, or None
            (random weights).
        input_tensor: Keras tensor to build the model on, (B, H, W, C) normalised pictures.
        input_shape: (height, width, channels) in pixels; default the variant's own, (224, 224, 3).
            Any height and width from 16 up, square or not, or None for both: the position table
            follows. 3 channels where weights are given.
        pooling: Without the classifier: None gives all tokens (B, 1 + N, D), the class token
            first; "token" the class token, "avg" and "max" the patch tokens' mean and maximum,
            each (B, D). Ignored with it.
        classes: Number of classes. Where weights are for another number, the classifier starts
            from random values, which is logged.
        classifier_activation: "softmax" or None (logits); with `weights=None` any activation.
        name: Name of the model.
        drop_rate: Share of values dropped after positions, attention and in the encoder's MLPs,
            in [0, 1). The stem's performers always drop 0.1 in training, as the authors' do.
        attn_drop_rate: Share of attention weights dropped, in [0, 1).
        drop_path_rate: Stochastic depth's rate in the deepest block, in [0, 1); 0.1 in the
            authors' training.

    Returns:
        A functional `keras.Model`. Its pictures come from `t2t_keras.preprocess_input`.

    Raises:
        ValueError: An argument is outside what is allowed.
        CheckpointError: A file of weights is damaged or does not fit.
        DownloadError: Released weights cannot be fetched or stored.

    Reference: arXiv:2101.11986; official `t2t_vit.T2T_ViT`.
    """
    if not isinstance(variant_config, Variant):
        raise ValueError(
            "`variant_config` must be a `t2t_keras.Variant`; a published model goes by its name, "
            f'as in `create_model("t2t_vit_14")`. Received: variant_config={variant_config}'
        )
    drop_rates = {
        "drop_rate": drop_rate,
        "attn_drop_rate": attn_drop_rate,
        "drop_path_rate": drop_path_rate,
    }
    return _build(
        variant_config,
        published_name(variant_config),
        include_top,
        weights,
        input_tensor,
        input_shape,
        pooling,
        classes,
        classifier_activation,
        name,
        drop_rates,
    )


def _published(function_name: str, variant_name: str):
    """The model function of a published variant."""

    def create(
        include_top: bool = True,
        weights: str | os.PathLike | None = "imagenet",
        input_tensor=None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | None = "softmax",
        name: str = variant_name,
        *,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> keras.Model:
        return T2TViT(
            VARIANTS[variant_name],
            include_top,
            weights,
            input_tensor,
            input_shape,
            pooling,
            classes,
            classifier_activation,
            name,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
        )

    create.__name__ = create.__qualname__ = function_name
    # Python 3.13 keeps docstrings without their indentation, and -OO keeps none.
    arguments = inspect.cleandoc(T2TViT.__doc__ or "").partition(_OWN_ARGUMENT)[2]
    create.__doc__ = f"The published variant `{variant_name}`.\n\nArgs:\n{arguments}"
    return create


T2TViT7 = _published("T2TViT7", "t2t_vit_7")
T2TViT10 = _published("T2TViT10", "t2t_vit_10")
T2TViT12 = _published("T2TViT12", "t2t_vit_12")
T2TViT14 = _published("T2TViT14", "t2t_vit_14")
T2TViT19 = _published("T2TViT19", "t2t_vit_19")
T2TViT24 = _published("T2TViT24", "t2t_vit_24")
T2TViTt14 = _published("T2TViTt14", "t2t_vit_t_14")
T2TViTt19 = _published("T2TViTt19", "t2t_vit_t_19")
T2TViTt24 = _published("T2TViTt24", "t2t_vit_t_24")
T2TViT14ResNeXt = _published("T2TViT14ResNeXt", "t2t_vit_14_resnext")
T2TViT14Wide = _published("T2TViT14Wide", "t2t_vit_14_wide")
T2TViT14SE = _published("T2TViT14SE", "t2t_vit_14_se")
T2TViT16Ghost = _published("T2TViT16Ghost", "t2t_vit_16_ghost")
T2TViTDense = _published("T2TViTDense", "t2t_vit_dense")
T2TViTc14 = _published("T2TViTc14", "t2t_vit_c_14")
