"""Models by name."""

import difflib
import fnmatch

import keras

from t2t_keras.applications.t2t_vit import T2TViT
from t2t_keras.variants import VARIANTS


def list_models(pattern: str = "*") -> list[str]:
    """Names of the published variants, in the paper's order.

    Args:
        pattern: Shell-style pattern a name must match, such as "t2t_vit_t_*".
    """
    return [name for name in VARIANTS if fnmatch.fnmatchcase(name, pattern)]


def create_model(name: str, **kwargs) -> keras.Model:
    """The published variant of that name.

    Args:
        name: One of `list_models()`; upper and lower case are one.
        **kwargs: As the model function takes them, such as `weights` or `classes`.

    Raises:
        ValueError: No variant has that name; the message lists those that come near.
    """
    key = name.lower()
    if key not in VARIANTS:
        near = difflib.get_close_matches(key, VARIANTS, n=3) or list(VARIANTS)
        raise ValueError(
            f"`name` must be one of `t2t_keras.list_models()`, such as {', '.join(near)}. "
            f"Received: name={name}"
        )
    return T2TViT(VARIANTS[key], **{"weights": "imagenet", "name": key, **kwargs})
