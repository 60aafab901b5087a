import pytest

from t2t_keras.training.devices.run_devices import check_global_batch


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


@pytest.mark.parametrize(
    ("batch_size", "devices", "nearest"), [(6, 2, 8), (12, 16, 16), (9, 6, 12)]
)
def test_each_of_two_processes_needs_pairs(batch_size, devices, nearest):
    with pytest.raises(ValueError, match=rf"and of 4, twice the processes; {nearest} is the near"):
        check_global_batch(batch_size, devices, processes=2)
    check_global_batch(nearest, devices, processes=2)
