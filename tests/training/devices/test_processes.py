import contextlib
from unittest.mock import Mock

import pytest

from t2t_keras.data.sources.source import open_source
from t2t_keras.errors import DataError, TrainingError
from t2t_keras.training import make_config
from t2t_keras.training import sources as sources_module
from t2t_keras.training.devices import processes as module
from t2t_keras.training.devices.processes import (
    ALONE,
    Processes,
    exit_without_barrier,
    fail_without_barrier,
    join_processes,
    lost_process,
    present_processes,
)
from tests.support.processes import result_of


def test_a_process_alone_decides_for_itself():
    assert join_processes(None) == present_processes() == ALONE
    assert ALONE.first and ALONE.highest(3) == 3
    assert ALONE.from_first(lambda: [1]) == ALONE.in_turn(lambda: [1]) == [1]


def test_several_processes_on_tensorflow_bring_the_command_that_works():
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax, `coordinator=HOST:PORT`"):
        join_processes("localhost:1234", 2, 0)


@pytest.mark.parametrize(
    "given",
    [(each, 2, 0) for each in (None, "localhost", "auto")]
    + [("localhost:1234", *numbers) for numbers in ((None, 0), (2, 2), (2, -1))],
)
def test_what_does_not_go_together_is_shown(given, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match=f"HOST:PORT.*Received: coordinator={given[0]}, num"):
        join_processes(*given)


@pytest.fixture
def second(monkeypatch):
    """This process is the second of two; what the first one says is to be put into it."""
    said = {}
    monkeypatch.setattr(module, "present_processes", lambda: Processes(1, 2))
    monkeypatch.setattr(module, "_broadcast", lambda answer: said)
    return said


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Gloo allreduce failed: Connection closed by peer [127.0.0.1]:1"),
        ValueError("UNAVAILABLE: Socket closed"),
        RuntimeError("DEADLINE_EXCEEDED: the coordination service does not answer"),
    ],
)
def test_a_step_that_fails_because_another_process_is_gone_says_so(error, second, monkeypatch):
    with pytest.raises(TrainingError, match="^Another process of this run has ended; its") as said:
        with lost_process():
            raise error
    assert said.value.__cause__ is error
    for other in (RuntimeError("out of range"), TrainingError("Gloo of ours")):
        with pytest.raises(type(other), match=str(other)), lost_process():
            raise other
    monkeypatch.setattr(module, "present_processes", lambda: ALONE)
    with pytest.raises(type(error)) as raised, lost_process():
        raise error
    assert raised.value is error


def test_the_others_follow_the_first(second):
    second["value"] = [3]
    assert Processes(1, 2).from_first(lambda: 1 / 0) == [3]
    assert Processes(1, 2).in_turn(lambda: "own") == "own"
    second["error"] = "`lr` was 1"
    with pytest.raises(TrainingError, match="^Process 0 stopped: `lr` was 1$"):
        Processes(1, 2).in_turn(lambda: "own")


def test_the_first_says_why_it_stops(monkeypatch):
    said = []
    monkeypatch.setattr(module, "_broadcast", said.append)
    assert Processes(0, 2).in_turn(lambda: "own") == "own"
    with pytest.raises(DataError, match="no such folder"):
        Processes(0, 2).from_first(lambda: open_source("./nowhere"))
    assert said[0].keys() == {"value"} and "nowhere: no such folder" in said[1]["error"]


@pytest.mark.parametrize("joined", [True, False])
def test_a_process_that_fails_or_raises_does_not_wait_for_the_others(joined, monkeypatch, capfd):
    monkeypatch.setattr(module, "_joined", lambda: joined)

    def leave(code):
        exit_without_barrier(code)
        return "waited"

    def fail():
        with contextlib.suppress(KeyError), fail_without_barrier():
            raise KeyError("lost")
        return "waited"

    assert result_of(lambda: leave(0)) == (0, "waited")
    assert result_of(lambda: leave(3)) == ((3, None) if joined else (0, "waited"))
    assert result_of(fail) == ((1, None) if joined else (0, "waited"))
    assert ("KeyError: 'lost'" in capfd.readouterr().err) == joined


def test_a_process_with_other_images_is_named(monkeypatch, tmp_path):
    part = Mock(num_train=8, num_eval=4)
    sources = Mock(training=part, test=part)
    monkeypatch.setattr(sources_module, "open_sources", lambda config: sources)
    monkeypatch.setattr(sources_module, "check_sources", lambda *given: (sources, Mock()))
    monkeypatch.setattr(Processes, "in_turn", lambda self, work: work())
    monkeypatch.setattr(Processes, "highest", lambda self, number: max(number, 5))
    config = make_config(dataset="cifar10")
    with pytest.raises(DataError, match=r"cifar10: process 1 finds \[8, 4, 4\] .* \[8, 5, 5\]"):
        sources_module.sources_of_run(config, tmp_path, None, Processes(1, 2))


def test_other_errors_pass():
    with pytest.raises(ValueError, match="^no Gloo here$"), lost_process(), fail_without_barrier():
        raise ValueError("no Gloo here")
