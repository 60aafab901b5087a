"""Stochastic depth: a residual branch is left out for some of the pictures of a batch."""

import keras


@keras.saving.register_keras_serializable(package="t2t_keras")
class StochasticDepth(keras.layers.Dropout):
    """Drops the whole branch of a sample and scales the others' by 1 / (1 - drop_path_rate).

    Args:
        drop_path_rate: Share of the samples dropped, in [0, 1).
        seed: Seed of the draws; None draws one.

    Call arguments:
        inputs: (B, N, D) tokens of a residual branch.

    Returns:
        (B, N, D) tokens; unchanged outside training.

    Reference: arXiv:1603.09382; official `timm.models.layers.DropPath`.
    """

    def __init__(self, drop_path_rate: float, seed: int | None = None, **kwargs):
        super().__init__(drop_path_rate, noise_shape=(None, 1, 1), seed=seed, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["noise_shape"]
        config["drop_path_rate"] = config.pop("rate")
        return config


def linear_rates(drop_path_rate: float, depth: int) -> list[float]:
    """Rates of `depth` blocks, growing evenly from 0 to `drop_path_rate` in the deepest."""
    return [drop_path_rate * index / max(depth - 1, 1) for index in range(depth)]
