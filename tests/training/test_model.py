"""The loss that runs use, `CategoricalCrossentropy(from_logits=True)`, on soft targets."""

import keras
import numpy as np
import pytest

from t2t_keras import T2TViT
from t2t_keras.models.structure import parts_of
from t2t_keras.training.model import check_freeze, freeze_parts
from tests.support.tiny import tiny_variant


def by_hand(targets, logits) -> float:
    """timm 0.3.4's `SoftTargetCrossEntropy`, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_shares = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return (-targets * log_shares).sum(axis=1).mean()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_soft_targets_are_compared_in_float32(dtype):
    random = np.random.default_rng(0)
    # Mixed and smoothed: no class without a share, sums that are 1 but for rounding.
    targets = random.dirichlet(np.full(10, 0.2), 6).astype(np.float32)
    logits = (50 * random.normal(size=(6, 10))).astype(dtype)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, logits)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(by_hand(targets, logits), rel=1e-6)


def test_the_blocks_that_freeze_counts_are_those_of_the_model():
    dense = tiny_variant(block_type="dense", embed_dim=16, depth=(1, 2), growth_rate=8)
    model = T2TViT(dense, weights=None, classes=3)
    assert len(parts_of(model).blocks) == 4
    for variant, depth in ((dense, 4), (tiny_variant(), 3)):
        check_freeze(str(depth), variant)
        message = f"`freeze` must be at most {depth}, .*Received: freeze={depth + 1}"
        with pytest.raises(ValueError, match=message):
            check_freeze(str(depth + 1), variant)
    freeze_parts(model, "3")
    starts = ("dense_growth_block_3/", "encoder_norm/", "head/")
    assert all(variable.path.startswith(starts) for variable in model.trainable_variables)
