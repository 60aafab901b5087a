"""The command `visualize`: what a model sees in an image, as a PNG file."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from t2t_keras.cli.flags import MODEL, check_target, pick
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import OpenedModel, open_model
from t2t_keras.data.ops.color import normalize
from t2t_keras.errors import check
from t2t_keras.images import load_image
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


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    """A model and an image, (H, W, 3) uint8, with its (1, H, W, 3) pixels as the model takes it."""

    values: flags.FlagValues
    file: Path
    opened: OpenedModel
    image: np.ndarray
    pixels: np.ndarray

    def title(self, what: str) -> str:
        return f"{self.opened.model.name}, {self.file.name}: {what}"

    def block(self, default: int | str) -> int | str:
        given = self.values.block
        if given is None:
            return default
        return int(given) if given.removeprefix("-").isdecimal() else given

    def point(self) -> tuple[int, int]:
        height, width = self.image.shape[:2]
        return self.values.at or (height // 2, width // 2)

    def draw(self, maps: np.ndarray, block: int | str, what: str, **names: Any) -> None:
        """Lays (rows, columns, h, w) maps over the image."""
        heats = to_pixels(self.opened.model, maps, block, self.image.shape[:2])
        plot_overlays(self.image, heats, self.values.output, self.title(what), **names)


def _attention(view: _View) -> None:
    model, block = view.opened.model, view.block("")
    if block in parts_of(model).stages:
        point = view.point()
        maps = stage_attention(model, view.pixels, block, [point])
        view.draw(maps, block, f"attention of {block} at {point[0]},{point[1]}", points=[point])
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
    chosen = varied_channels(maps, view.values.channels)
    names = [f"channel {index}" for index in chosen]
    title = view.title(f"{len(chosen)} of {maps.shape[-1]} channels of {block}")
    plot_channels(maps.transpose(2, 0, 1)[chosen], names, view.values.output, title)


def _grad_cam(view: _View) -> None:
    model, names, block = view.opened.model, view.opened.class_names, view.block(-1)
    given = view.values.class_index
    if given is None:
        number = int(class_logits(model, view.pixels).argmax())
    elif given in names:
        number = list(names).index(given)
    else:
        known = f"a class name or a number from 0 to {len(names) - 1}"
        check(given.isdecimal() and int(given) < len(names), "class_index", given, known)
        number = int(given)
    maps = grad_cam(model, view.pixels, number, block)
    view.draw(maps[None], block, f"Grad-CAM for {names[number]} ({number})")


def _tokens(view: _View) -> None:
    point, block = view.point(), view.block(-1)
    maps = token_similarity(view.opened.model, view.pixels, [point], block)
    view.draw(maps, block, f"similarity to that at {point[0]},{point[1]}", points=[point])


VIEWS: dict[str, Callable[[_View], None]] = {
    "attention": _attention,
    "rollout": _rollout,
    "features": _features,
    "gradcam": _grad_cam,
    "tokens": _tokens,
}


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Draws the view of an image that was asked for."""
    source, file = arguments
    output = values.output
    check(bool(output) and output.endswith(".png"), "output", output, "a file that ends in .png")
    check_target("output", output, values.overwrite)
    variant = {"model": values.model, "weights": values.weights}
    opened = open_model(source, **variant, **pick(values, MODEL))
    preprocessing = opened.preprocessing
    image = load_image(file, values.image_size or opened.image_size, preprocessing.crop_pct)
    pixels = np.asarray(normalize(image[None], preprocessing.mean, preprocessing.std))
    VIEWS[values.what](_View(values, Path(file), opened, image, pixels))
    echo(f"wrote {output}")
    return 0
