import gc
import re
import weakref

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.training.devices.mirrored import (
    feed,
    hold_iterators,
    make_strategy,
    refuse_several_workers,
)


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        *(
            (each, f"Received: devices={each}")
            for each in ("tpu:0", "cpu", "cpu:0,cpu:0", "CPU:0,cpu:0")
        ),
        ("gpu:99", "`devices` must be .* GPUs.*gpu:99"),
        ("cpu:0,cpu:63", "asks for 64 CPU devices.*fresh process"),
    ],
)
def test_a_device_that_is_none_is_missing_or_comes_too_late_is_named(devices, message):
    tf.config.list_logical_devices()
    with pytest.raises(ValueError, match=message):
        make_strategy(tuple(devices.split(",")))


def test_a_tf_config_of_one_machine_is_fine_and_others_are_refused(monkeypatch):
    for good in ("", '{"cluster": {"worker": ["localhost:1"]}}'):
        refuse_several_workers(good)
    wrong_jobs = ('{"worker": ["a:1", "b:1"]}', '{"worker": 3}', "3")
    for text in ("{", "[]", *(f'{{"cluster": {jobs}}}' for jobs in wrong_jobs)):
        monkeypatch.setenv("TF_CONFIG", text)
        message = f"unset, or JSON .* one machine.* JAX .*Received: TF_CONFIG={re.escape(text)}"
        with pytest.raises(ValueError, match=message):
            make_strategy(("cpu:0",))


def batches():
    return tf.data.Dataset.range(12).batch(4, drop_remainder=True)


def distributed(strategy):
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    return strategy.experimental_distribute_dataset(batches().with_options(untuned))


def test_one_device_takes_its_batches_without_an_iterator_that_fetches_ahead():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    fed = feed(strategy, batches())
    assert np.concatenate([batch.numpy() for batch in fed]).tolist() == list(range(12))
    used = {type(part).__name__ for part in iter(fed)._iterators[0]._type_spec._component_specs}
    assert "MultiDeviceIteratorSpec" not in used
    usual = iter(distributed(strategy))
    parts = {type(part).__name__ for part in usual._iterators[0]._type_spec._component_specs}
    assert "MultiDeviceIteratorSpec" in parts  # or this test sees nothing


@pytest.fixture
def own_garbage():
    """`gc.collect` finds nothing of other tests, whose forgotten iterators may take long to end."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_an_iterator_is_held_until_the_next_but_one_has_begun(own_garbage):
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    dataset = distributed(strategy)
    assert hold_iterators(dataset) is dataset
    begun = []
    for _ in range(3):
        iterator = iter(dataset)
        next(iterator)
        begun.append(weakref.ref(iterator))
        del iterator
    gc.collect()
    assert [reference() is not None for reference in begun] == [False, True, True]
    assert len(list(dataset)) == 3


def test_no_iterator_is_tuned(monkeypatch):
    usual, tuned = tf.data.Dataset.__iter__, []

    def begin(dataset):
        tuned.append(dataset.options().autotune.enabled)
        return usual(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", begin)
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    for fed in (feed(strategy, batches()), hold_iterators(distributed(strategy))):
        tuned.clear()
        iter(fed)
        assert tuned == [False]
    tuned.clear()
    iter(distributed(strategy))
    assert tuned == [None]  # or this test sees nothing
    assert tf.data.Dataset.__iter__ is begin
