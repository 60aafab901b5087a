import pytest

from t2t_keras.training.devices.run_devices import check_global_batch


@pytest.mark.parametrize(
    ("batch_size", "replicas", "others", "message"),
    [
        (5, 2, {}, "4 is the nearest"),
        (7, 2, {}, "8 is the nearest"),
        (1, 2, {}, "2 is the nearest"),
        (65, 8, {}, "64 is the nearest"),
        (100, 2, {"parts": 4}, "2 devices times 4 parts.*; 96 is the nearest"),
        (1, 2, {"parts": 4}, "2 devices times 4 parts.*; 8 is the nearest"),
        (12, 2, {"parts": 4}, "2 devices times 4 parts.*; 16 is the nearest"),
        (6, 2, {"processes": 2}, "and of 4, twice the processes; 8 is the nearest"),
        (12, 16, {"processes": 2}, "and of 4, twice the processes; 16 is the nearest"),
        (9, 6, {"processes": 2}, "and of 4, twice the processes; 12 is the nearest"),
    ],
)
def test_an_uneven_batch_brings_the_nearest_even_one(batch_size, replicas, others, message):
    with pytest.raises(ValueError, match=f"{message}.*batch_size={batch_size}"):
        check_global_batch(batch_size, replicas, **others)
    nearest = int(message.split("is the nearest")[0].split()[-1])
    check_global_batch(nearest, replicas, **others)
