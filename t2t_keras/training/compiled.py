"""The model of a run, ready for `fit`: weights, optimizer, loss and metrics."""

import keras

from t2t_keras.training.config import BACKBONE, TrainConfig
from t2t_keras.training.devices import Devices, spread_seeds
from t2t_keras.training.linear_probe import probe_of
from t2t_keras.training.model import build_model, freeze_parts, load_run_weights, precision
from t2t_keras.training.optimization import EpochRates, PerEpoch, accumulating, build_optimizer


def epoch_rates(config: TrainConfig) -> EpochRates:
    """The learning rate of every epoch of a run."""
    return EpochRates(
        lr=config.lr,
        min_lr=config.min_lr,
        warmup_lr=config.warmup_lr,
        epochs=config.epochs,
        warmup_epochs=config.warmup_epochs,
        cooldown_epochs=config.cooldown_epochs,
        cycle_mul=config.lr_cycle_mul,
        cycle_limit=config.lr_cycle_limit,
        cycle_decay=config.lr_cycle_decay,
    )


def compiled_model(
    config: TrainConfig, classes: int, rates: EpochRates, steps_per_epoch: int, devices: Devices
) -> tuple[keras.Model, keras.Model]:
    """Builds the model of a run on its devices, with the weights it starts from.

    Returns:
        What is trained, compiled, and the whole model from pictures to logits: the same, unless the
        classifier alone is trained, which is a model on features then.

    Raises:
        CheckpointError: The weights to start from are damaged or do not fit.
        DownloadError: They cannot be fetched.
        ValueError: A setting does not fit Keras' backend.
    """
    with devices.building(), precision(config.precision):
        model = build_model(config, classes, None, config.drop_path_rate)
        load_run_weights(model, config, complete=False)
        freeze_parts(model, config.freeze)
        full_model, probes = model, config.freeze == BACKBONE
        model = accumulating(probe_of(full_model) if probes else full_model, config.accumulate)
        schedule = PerEpoch(tuple(map(rates.at, range(rates.total_epochs))), steps_per_epoch)
        model.compile(
            build_optimizer(
                model,
                schedule,
                config.weight_decay,
                config.optimizer,
                ema_decay=config.ema_decay,
                clip_grad=config.clip_grad,
                backbone_lr_ratio=config.backbone_lr_ratio,
                layer_decay=config.layer_decay,
                decay_all=config.decay_all,
                nesterov=config.nesterov,
            ),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5_accuracy"),
            ],
            jit_compile=devices.compiles(config.jit_compile),
        )
        _build_scores(model, classes)
        if probes:
            full_model.compile(jit_compile=devices.compiles(config.jit_compile))
    spread_seeds(model)
    return model, full_model if probes else model


def _build_scores(model: keras.Model, classes: int) -> None:
    """Makes the state of loss and metrics; else `fit` traces the whole model once more for them."""
    blank = keras.ops.zeros((1, classes))
    model.compute_loss(y=blank, y_pred=blank)
    model.compute_metrics(None, blank, blank)
    model.reset_metrics()
