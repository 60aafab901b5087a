import sys
from pathlib import Path

import keras
import numpy as np

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_head_learns_where_the_shapes_are(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    try:
        import segmentation

        keras.utils.set_random_seed(0)
        masks = np.zeros((1, 2, 2))
        masks[0, 0] = 1
        assert segmentation.intersection_over_union(masks[..., None] - 0.5, masks) == 1
        assert segmentation.train(epochs=2, count=256) > 0.5
    finally:
        for name in ("segmentation", "shapes"):
            sys.modules.pop(name, None)
