import numpy as np
import pytest

from t2t_keras.errors import TrainingError
from t2t_keras.training.epoch import StopAtNonFinite
from t2t_keras.training.run_state import Standing


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_ends_where_only_the_validation_loss_is_no_number(bad):
    standing = Standing(steps_per_epoch=4, epochs=5, step=12, history=[{}, {}])
    watch = StopAtNonFinite(standing, lambda epoch, step: f"Asked for {epoch}, {step}.")
    with pytest.raises(TrainingError, match="validation loss became .* in epoch 3. Asked for 2, 3"):
        watch.on_epoch_end(2, {"loss": 0.5, "val_loss": bad, "val_accuracy": 0.9})
