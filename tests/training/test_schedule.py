from types import SimpleNamespace

import keras
import numpy as np
import pytest

from t2t_keras.training import make_config
from t2t_keras.training.schedule import PerEpoch, learning_rates

AUTHORS = make_config(dataset="imagenet2012", model="t2t_vit_14")
# 1e-6 + e * 4.99e-5 in the warm-up, then 1e-5 + 2.45e-4 * (1 + cos(0.6 e degrees)).
BY_HAND = {
    0: 1e-6,
    1: 5.09e-5,
    5: 2.505e-4,
    9: 4.501e-4,
    10: 4.98657865e-4,
    100: 3.775e-4,
    150: 2.55e-4,
    200: 1.325e-4,
    299: 1.00134336e-5,
    300: 1e-5,
    309: 1e-5,
}


def test_rates_are_those_of_timm():
    rates = learning_rates(AUTHORS)
    assert len(rates) == 310
    assert {epoch: rates[epoch] for epoch in BY_HAND} == pytest.approx(BY_HAND, rel=1e-7)


# `create_scheduler` of timm 0.3.4, stepped as its training script does, wrote these.
RESTARTS = {
    (4, 1, 2.0, 3, 0.1): """
        1e-06 0.000428241161 0.000255 8.17588386e-05
        5e-05 4.81350485e-05 4.28241161e-05 3.48757441e-05
        2.55e-05 1.61242559e-05 8.17588386e-06 2.86495145e-06
        5e-06 4.95292394e-06 4.81350485e-06 4.58710055e-06 4.28241161e-06 3.91114707e-06
        3.48757441e-06 3.02797129e-06 2.55e-06 2.07202871e-06 1.61242559e-06 1.18885293e-06
        8.17588386e-07 5.1289945e-07 2.86495145e-07 1.47076063e-07
        1e-05 1e-05""",
    (4, 6, 1.5, 3, 0.5): """
        1e-06 8.41666667e-05 0.000167333333 0.0002505 0.000333666667 0.000416833333
        0.00018875 0.0001275 6.625e-05 2.1411888e-05
        0.000125 0.000121306173 0.000110670222 9.4375e-05 7.43859509e-05 5.31140491e-05
        3.3125e-05 1.68297779e-05 6.19382698e-06
        1e-05 1e-05""",
    (3, 0, 1.0, 3, 0.1): """
        0.0005 0.0003775 0.0001325 5e-05 3.775e-05 1.325e-05 5e-06 3.775e-06 1.325e-06
        1e-05 1e-05""",
    (5, 0, 1.1, 2, 1.0): """
        0.0005 0.000453209164 0.000330709164 0.000179290836 5.67908364e-05
        0.0005 0.000461107116 0.000356776678 0.000220132865 9.45591202e-05
        1.99242215e-05 1e-05""",
}


@pytest.mark.parametrize("given", RESTARTS)
def test_restarts_are_those_of_timm(given):
    names = "epochs warmup_epochs lr_cycle_mul lr_cycle_limit lr_cycle_decay".split()
    settings = {**vars(AUTHORS), "cooldown_epochs": 2, **dict(zip(names, given, strict=True))}
    expected = [float(rate) for rate in RESTARTS[given].split()]
    # One of them has a longer warm-up than a run may have.
    assert learning_rates(SimpleNamespace(**settings)) == pytest.approx(expected, rel=1e-8)


def test_the_rate_changes_between_epochs_only():
    schedule = PerEpoch((0.1, 0.2, 0.3), steps_per_epoch=4)
    rates = [float(schedule(step)) for step in (0, 3, 4, 7, 8, 11, 12, 1000)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.3, 0.3], rtol=1e-6)


def test_an_optimizer_follows_the_schedule_and_keeps_it_when_saved():
    config = keras.optimizers.schedules.serialize(PerEpoch((0.5, 0.25), steps_per_epoch=2))
    schedule = keras.optimizers.schedules.deserialize(config)
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable([1.0])
    seen = []
    for _ in range(3):
        optimizer.apply([keras.ops.ones(1)], [weight])
        seen.append(float(weight[0]))
    assert seen == pytest.approx([0.5, 0.0, -0.25])


@pytest.mark.parametrize(("rates", "steps", "named"), [((), 1, "rates"), ((1.0,), 0, "0")])
def test_wrong_arguments_are_named(rates, steps, named):
    with pytest.raises(ValueError, match=f"Received: .*{named}"):
        PerEpoch(rates, steps)
