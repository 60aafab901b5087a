import pytest

from t2t_keras.training.distribution import check_global_batch
from t2t_keras.training.processes import (
    ALONE,
    LeavingAtOnce,
    join_processes,
    lost_process,
    present_processes,
)


def test_a_process_alone_decides_for_itself():
    assert join_processes(None) == present_processes() == ALONE
    assert ALONE.first and ALONE.highest(3) == 3
    assert ALONE.from_first(lambda: [1]) == ALONE.in_turn(lambda: [1]) == [1]


def test_several_processes_on_tensorflow_bring_the_command_that_works():
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax python train_keras.py --coordinator="):
        join_processes("localhost:1234", 2, 0)


@pytest.mark.parametrize(
    "given",
    [
        (None, 2, 0),
        ("localhost", 2, 0),
        ("localhost:1234", None, 0),
        ("localhost:1234", 2, 2),
        ("localhost:1234", 2, -1),
        ("auto", 2, 0),
    ],
)
def test_what_does_not_go_together_is_shown(given, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match=f"HOST:PORT.*Received: coordinator={given[0]}, num"):
        join_processes(*given)


def test_other_errors_pass():
    with pytest.raises(ValueError, match="^no Gloo here$"), lost_process(), LeavingAtOnce():
        raise ValueError("no Gloo here")


@pytest.mark.parametrize(
    ("batch_size", "devices", "nearest"), [(6, 2, 8), (12, 16, 16), (9, 6, 12)]
)
def test_each_of_two_processes_needs_pairs(batch_size, devices, nearest):
    with pytest.raises(ValueError, match=rf"and of 4, twice the processes; {nearest} is the near"):
        check_global_batch(batch_size, devices, processes=2)
    check_global_batch(nearest, devices, processes=2)
