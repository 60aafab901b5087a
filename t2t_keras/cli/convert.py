"""The command `convert`: an official checkpoint as a file that Keras reads."""

import os
from pathlib import Path

import keras
import numpy as np
from absl import flags

from t2t_keras.cli.flags import check_target
from t2t_keras.cli.main import echo
from t2t_keras.errors import CheckpointError, check
from t2t_keras.weights.convert import Conversion, classifier, convert, target_suffix
from t2t_keras.weights.load import load_weights


def _verify(conversion: Conversion, target: Path) -> float:
    """Reads the written file back and returns the largest difference of the outputs."""
    identity = conversion.identity
    size = (identity.image_size, identity.image_size)
    if target_suffix(target) == ".keras":
        reloaded = keras.saving.load_model(target)
    else:
        reloaded = classifier(identity.variant, identity.classes, size, "reloaded")
        load_weights(reloaded, target, identity.variant, identity.name)
    images = np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32")
    expected, outputs = (model.predict(images, verbose=0) for model in (conversion.model, reloaded))
    difference = float(np.abs(outputs - expected).max())
    if not difference <= 1e-5 * np.abs(expected).max():
        raise CheckpointError(
            f"{target}: read back, it gives other outputs than the converted model (they differ by "
            f"{difference:.1e}). Convert again; if it happens twice, please report it."
        )
    return difference


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Converts a checkpoint and reports every key."""
    source, target = values.source, values.target
    check(bool(source and os.path.exists(source)), "source", source, "an existing checkpoint file")
    check_target("target", target, values.overwrite)
    target_suffix(target)
    conversion = convert(
        source,
        target,
        model_name=values.model,
        num_heads=values.num_heads,
        key="auto" if values.weights_key is None else values.weights_key,
        sha256=values.sha256,
    )
    identity, report = conversion.identity, conversion.report
    echo(str(report))
    echo(
        f"{source}: {identity.name or 'unpublished sizes'}, "
        f"{identity.image_size}x{identity.image_size} pixels, {identity.classes or 'no'} classes, "
        f"{conversion.model.count_params():,} parameters"
    )
    if values.verify:
        echo(f"verified: outputs differ by at most {_verify(conversion, Path(target)):.1e}")
    for row in report.ignored:
        echo(f"note: {row.key} {row.how}")
    echo(f"wrote {target}")
    return 0
