import numpy as np
import pytest

from t2t_keras.errors import TrainingError
from t2t_keras.training.epoch import StopOnNonFinite
from t2t_keras.training.run_state import RunState


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_ends_where_only_the_validation_loss_is_no_number(bad):
    run_state = RunState(steps_per_epoch=4, epochs=5, step=12, history=[{}, {}])
    watch = StopOnNonFinite(run_state, lambda epoch, step: f"Asked for {epoch}, {step}.")
    with pytest.raises(TrainingError, match="validation loss became .* in epoch 3. Asked for 2, 3"):
        watch.on_epoch_end(2, {"loss": 0.5, "val_loss": bad, "val_accuracy": 0.9})
