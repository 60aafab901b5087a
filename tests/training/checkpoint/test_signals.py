import signal

import pytest

from t2t_keras.errors import DataError, RunInterrupted
from t2t_keras.training.checkpoint.signals import StopSignals
from tests.support.processes import result_of


def spoil(error: Exception) -> None:
    """A signal comes in the middle of a library's work, which makes another error of it."""
    try:
        signal.raise_signal(signal.SIGTERM)
    except RunInterrupted:
        raise error from None


@pytest.mark.parametrize("error", [ValueError, RuntimeError, TypeError, AttributeError, KeyError])
def test_a_signal_that_became_another_error_is_a_signal(error):
    with pytest.raises(RunInterrupted) as raised, StopSignals().listening():
        spoil(error("in user code"))
    assert raised.value.number == signal.SIGTERM
    assert isinstance(raised.value.__cause__, error)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_at_once_that_waits_for_its_step(second):
    def work():
        signals = StopSignals()
        with signals.listening():
            signals.deferred = True
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(second)
        return "continued"

    assert result_of(work) == (-second, None)


def test_an_error_with_its_own_reason_without_a_signal_or_with_one_that_waits_is_what_it_is():
    with pytest.raises(DataError, match="damaged"), StopSignals().listening():
        spoil(DataError("a.jpg: damaged"))
    with pytest.raises(ValueError, match="plain"), StopSignals().listening():
        raise ValueError("plain")
    signals = StopSignals()
    with pytest.raises(ValueError, match="plain"), signals.listening():
        signals.deferred = True
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("plain")
    assert signals.received == signal.SIGTERM
    with pytest.raises(RunInterrupted):
        signals.stop_deferring()
