"""The work of `convert_weights.py`."""

import dataclasses
import os
from pathlib import Path

import keras
import numpy as np

from t2t_keras.cli.main import echo, exit_code
from t2t_keras.errors import CheckpointError
from t2t_keras.weights.convert import Conversion, classifier, convert, target_suffix
from t2t_keras.weights.load import load_weights


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """The settings of a conversion; the flags of `convert_weights.py` say what each means."""

    source: str
    target: str
    model_name: str | None = None
    num_heads: int | None = None
    key: str = "auto"
    sha256: str | None = None
    verify: bool = False
    overwrite: bool = False


def run(config: ConvertConfig, debug: bool = False) -> int:
    """Converts, reports every key and returns the exit code.

    Args:
        config: The settings.
        debug: Let errors through, with their traceback.
    """
    return exit_code(lambda: _convert(config), debug)


def _check(config: ConvertConfig) -> None:
    if not os.path.exists(config.source):
        raise ValueError(
            f"--source must be an existing checkpoint file. Received: --source={config.source}"
        )
    target_suffix(config.target)
    folder = Path(config.target).absolute().parent
    if not folder.is_dir():
        raise ValueError(
            f"--target must be in an existing folder; make {folder} first. "
            f"Received: --target={config.target}"
        )
    if os.path.exists(config.target) and not config.overwrite:
        raise ValueError(
            "--target exists already; give another name or --overwrite. "
            f"Received: --target={config.target}"
        )


def _convert(config: ConvertConfig) -> int:
    _check(config)
    conversion = convert(
        config.source,
        config.target,
        model_name=config.model_name,
        num_heads=config.num_heads,
        key=config.key,
        sha256=config.sha256,
    )
    identity = conversion.identity
    echo(str(conversion.report))
    echo(
        f"{config.source}: {identity.name or 'sizes nobody published'}, "
        f"{identity.image_size}x{identity.image_size} pixels, "
        f"{identity.classes or 'no'} classes, "
        f"{conversion.model.count_params():,} parameters"
    )
    if config.verify:
        echo(f"verified: outputs differ by at most {_verify(conversion):.1e}")
    for row in conversion.report.ignored:
        echo(f"note: {row.key} {row.how}")
    echo(f"wrote {conversion.target}")
    return 0


def _verify(conversion: Conversion) -> float:
    """Reads the written file back; the largest difference of the two models' outputs.

    Raises:
        CheckpointError: They differ by more than rounding.
    """
    identity, target = conversion.identity, conversion.target
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
            f"{target}: read back, it gives other outputs than what was converted (they differ by "
            f"{difference:.1e}). Convert again; should it happen twice, please report it."
        )
    return difference
