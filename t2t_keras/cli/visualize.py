"""The work of `python -m t2t_keras.visualize`."""

import dataclasses
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from t2t_keras.cli.main import echo, exit_code, show_log
from t2t_keras.cli.models import OpenedModel, open_model
from t2t_keras.cli.settings import image_size_of
from t2t_keras.data import normalize
from t2t_keras.images import load_image
from t2t_keras.images.constants import STATISTICS
from t2t_keras.models.structure import parts_of
from t2t_keras.visualize import (
    attention_blocks,
    attention_rollout,
    class_attention,
    class_logits,
    feature_maps,
    grad_cam,
    plot_channels,
    plot_overlays,
    stage_attention,
    to_pixels,
    token_similarity,
    varied_channels,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VisualizeCommand:
    """What is to be shown; the flags say what each means, None stands for their default."""

    source: str
    image: str
    what: str
    output: str
    block: str | None = None
    class_index: str | None = None
    at: list[str] | None = None
    channels: int = 32
    image_size: list[str] | None = None
    crop_pct: float | None = None
    statistics: str | None = None
    model: str | None = None
    weights: str | None = None
    labels: str | None = None
    num_heads: int | None = None
    overwrite: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    """A command with its model and its image, as bytes and preprocessed."""

    command: VisualizeCommand
    opened: OpenedModel
    image: np.ndarray
    pixels: np.ndarray

    def title(self, what: str) -> str:
        return f"{self.opened.model.name}, {Path(self.command.image).name}: {what}"

    def block(self, default: int | str) -> int | str:
        given = self.command.block
        if given is None:
            return default
        return int(given) if given.removeprefix("-").isdecimal() else given

    def point(self) -> tuple[int, int]:
        """Where to look.

        Raises:
            ValueError: --at is no pair of numbers.
        """
        if self.command.at is None:
            return self.image.shape[0] // 2, self.image.shape[1] // 2
        try:
            y, x = map(int, self.command.at)
        except ValueError as error:
            raise ValueError(
                f"--at must be y,x in whole pixels. Received: --at={','.join(self.command.at)}"
            ) from error
        return y, x

    def draw(self, maps: np.ndarray, block: int | str, what: str, **names: Any) -> None:
        """Lays (rows, columns, h, w) maps over the image."""
        heats = to_pixels(self.opened.model, maps, block, self.image.shape[:2])
        plot_overlays(self.image, heats, self.command.output, self.title(what), **names)


def run(command: VisualizeCommand, debug: bool = False) -> int:
    """Samples what is asked for and returns the exit code.

    Args:
        command: What to draw.
        debug: Let errors through, with their traceback.
    """
    show_log(sys.stderr)
    return exit_code(lambda: _visualize(command), debug)


def _visualize(command: VisualizeCommand) -> int:
    output = Path(command.output)
    if output.suffix != ".png" or not output.absolute().parent.is_dir():
        raise ValueError(
            f"--output must end in .png and lie in an existing folder. Received: --output={output}"
        )
    if os.path.lexists(output) and not command.overwrite:
        raise ValueError(
            "--output exists already; give another name or --overwrite. "
            f"Received: --output={output}"
        )
    opened = open_model(
        command.source,
        model_name=command.model,
        weights=command.weights,
        labels=command.labels,
        num_heads=command.num_heads,
    )
    size = image_size_of(command.image_size) if command.image_size else opened.image_size
    crop_pct = opened.card.crop_pct if command.crop_pct is None else command.crop_pct
    image = load_image(command.image, size, crop_pct)
    statistics = STATISTICS[command.statistics or opened.card.statistics]
    pixels = np.asarray(normalize(image[None], *statistics))
    _WORK[command.what](_View(command, opened, image, pixels))
    echo(f"wrote {output}")
    return 0


def _attention(view: _View) -> None:
    model, block = view.opened.model, view.block("")
    if block in parts_of(model).stages:
        point = view.point()
        maps = stage_attention(model, view.pixels, block, [point])
        what = f"what {block} attends to from {point[0]},{point[1]}"
        view.draw(maps, block, what, points=[point])
        return
    names = attention_blocks(model) if block == "" else [block]
    by_head = class_attention(model, view.pixels, names)[0]
    maps = np.concatenate([by_head.mean(axis=1, keepdims=True), by_head], axis=1)
    heads = [f"head {index}" for index in range(by_head.shape[1])]
    view.draw(
        maps,
        -1,
        "attention of the class token",
        row_names=[str(name) for name in names],
        column_names=["mean", *heads],
    )


def _rollout(view: _View) -> None:
    maps = attention_rollout(view.opened.model, view.pixels)
    view.draw(maps[None], -1, "attention rollout")


def _features(view: _View) -> None:
    block = view.block(next(iter(parts_of(view.opened.model).stages)))
    maps = feature_maps(view.opened.model, view.pixels, block)[0]
    chosen = varied_channels(maps, view.command.channels)
    names = [f"channel {index}" for index in chosen]
    title = view.title(f"{len(chosen)} of {maps.shape[-1]} channels of {block}")
    plot_channels(maps.transpose(2, 0, 1)[chosen], names, view.command.output, title)


def _grad_cam(view: _View) -> None:
    model, names, block = view.opened.model, view.opened.class_names, view.block(-1)
    given = view.command.class_index
    if given is None:
        number = int(class_logits(model, view.pixels).argmax())
    elif given in names:
        number = list(names).index(given)
    elif given.isdecimal():
        number = int(given)
    else:
        raise ValueError(
            f"--class_index must be a number from 0 to {len(names) - 1} or a class' name. "
            f"Received: --class_index={given}"
        )
    maps = grad_cam(model, view.pixels, number, block)
    view.draw(maps[None], block, f"Grad-CAM for {names[number]} ({number})")


def _tokens(view: _View) -> None:
    point, block = view.point(), view.block(-1)
    maps = token_similarity(view.opened.model, view.pixels, [point], block)
    view.draw(maps, block, f"tokens like that at {point[0]},{point[1]}", points=[point])


_WORK: dict[str, Callable[[_View], None]] = {
    "attention": _attention,
    "rollout": _rollout,
    "features": _features,
    "gradcam": _grad_cam,
    "tokens": _tokens,
}
