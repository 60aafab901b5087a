import json

import pytest
import tensorflow as tf

from t2t_keras.training.devices.distribution import (
    check_global_batch,
    make_strategy,
    refuse_several_workers,
)


def test_a_cpu_is_one_replica():
    strategy = make_strategy(("cpu:0",))
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    assert strategy.num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("batch_size", "replicas", "nearest"), [(5, 2, 4), (7, 2, 8), (1, 2, 2), (65, 8, 64)]
)
def test_an_uneven_batch_brings_the_nearest_even_one(batch_size, replicas, nearest):
    with pytest.raises(ValueError, match=rf"{nearest} is the nearest.*batch_size={batch_size}"):
        check_global_batch(batch_size, replicas)


@pytest.mark.parametrize(("batch_size", "nearest"), [(100, 96), (1, 8), (12, 16)])
def test_a_batch_in_parts_must_fill_them(batch_size, nearest):
    with pytest.raises(ValueError, match=rf"2 devices times 4 parts.*; {nearest} is the nearest"):
        check_global_batch(batch_size, replicas=2, parts=4)


def test_an_even_batch_passes():
    check_global_batch(64, 8)
    check_global_batch(64, 2, parts=4)


@pytest.mark.parametrize("devices", [("tpu:0",), ("cpu",), ("cpu:0", "cpu:0"), ("CPU:0", "cpu:0")])
def test_a_wrong_device_is_named(devices):
    with pytest.raises(ValueError, match=f"Received: devices={','.join(devices)}"):
        make_strategy(devices)


def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="`devices` may name .* GPUs.*gpu:99"):
        make_strategy(("gpu:99",))


def test_logical_cpus_come_too_late_in_a_started_process():
    tf.config.list_logical_devices()
    with pytest.raises(ValueError, match="asks for 64 CPU devices.*fresh process"):
        make_strategy(("cpu:0", "cpu:63"))


@pytest.mark.parametrize("text", ["", json.dumps({"cluster": {"worker": ["localhost:1"]}})])
def test_one_machine_is_fine(text):
    refuse_several_workers({"TF_CONFIG": text})


def test_several_machines_are_refused_with_what_works(monkeypatch):
    text = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}})
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match="names 2 machines.*JAX"):
        make_strategy(("cpu:0",))


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": 3}', '{"cluster": {"worker": 3}}'])
def test_an_unreadable_tf_config_is_shown(text):
    with pytest.raises(ValueError, match="Received: TF_CONFIG="):
        refuse_several_workers({"TF_CONFIG": text})
