import keras
import numpy as np
import pytest

from t2t_keras.training.schedule import EpochRates, PerEpoch

AUTHORS = EpochRates(
    lr=5e-4, min_lr=1e-5, warmup_lr=1e-6, epochs=300, warmup_epochs=10, cooldown_epochs=10
)
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


@pytest.mark.parametrize("epoch", BY_HAND)
def test_rates_are_those_of_timm(epoch):
    assert AUTHORS.at(epoch) == pytest.approx(BY_HAND[epoch], rel=1e-7)


def test_310_epochs_run_in_all():
    assert AUTHORS.total_epochs == 310


def test_without_a_warm_up_the_first_epoch_has_the_peak():
    rates = EpochRates(
        lr=0.1, min_lr=0.0, warmup_lr=1e-6, epochs=2, warmup_epochs=0, cooldown_epochs=0
    )
    assert [rates.at(epoch) for epoch in (0, 1)] == pytest.approx([0.1, 0.05])


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


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rates": (), "steps_per_epoch": 1}, "rates"),
        ({"rates": (1.0,), "steps_per_epoch": 0}, "0"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"Received: .*{named}"):
        PerEpoch(**arguments)
