"""Images in folders, one a class, listed and checked before anything is read."""

import collections
import contextlib
import csv
import dataclasses
import hashlib
import logging
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from t2t_keras.errors import DataError, check

KAGGLE_LABELS = "LOC_val_solution.csv"
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
TRAIN_FOLDER = "train"
EVAL_FOLDERS = ("validation", "val", "valid", "test")  # the first that exists is taken

_IMAGENET = Path("ILSVRC/Data/CLS-LOC")  # where ImageNet's archive has its images

_log = logging.getLogger(__name__)

Images = dict[str, list[str]]  # class name, composed (NFC) -> sorted paths


@dataclasses.dataclass(frozen=True)
class FolderImages:
    """Image files of both parts; `train` is empty if opened for evaluation only."""

    train: Images
    evaluation: Images


def scan_folder(root: Path, validation_split: float, evaluation_only: bool) -> FolderImages:
    """Lists ROOT/train/CLASS/* and ROOT/val/CLASS/*, or splits ROOT/CLASS/*.

    ImageNet is also read as Kaggle hands it out: ROOT/ILSVRC/Data/CLS-LOC/train/CLASS/*, with
    val/* beside it and its labels in ROOT/LOC_val_solution.csv. Where there is no val/,
    `validation_split` of each class is evaluated on.
    """
    root = image_root(root)
    train = next(iter(_parts(root, (TRAIN_FOLDER,))), None)
    evaluation = next(iter(_parts(root, EVAL_FOLDERS)), None)
    if evaluation is None:
        evaluation = _flat_evaluation(root, train is not None and not validation_split)
    if evaluation is None:
        folder = train or root
        classes = _scan_classes(folder)
        if evaluation_only and train is None:
            return FolderImages({}, classes)
        return _split(folder, classes, validation_split)
    expected = f"0 where {evaluation} holds evaluation images"
    check(not validation_split, "validation_split", validation_split, expected)
    if evaluation_only:
        return FolderImages({}, _scan_evaluation(evaluation))
    if train is None:
        raise DataError(
            f"{root}: there is {evaluation.name}/ but no {TRAIN_FOLDER}/ with class folders. "
            "Add it, or open for evaluation only."
        )
    images = FolderImages(_scan_classes(train), _scan_evaluation(evaluation))
    _check_same_classes(train, evaluation, images)
    return images


def _parts(root: Path, names: Sequence[str], of_classes: bool = True) -> list[Path]:
    """Folders of these names that hold folders; one that does not may be a class of that name."""
    folders = {name.casefold(): root / name for name in _subfolders(root)}
    named = [folders[name] for name in names if name in folders]
    return [folder for folder in named if bool(_subfolders(folder)) == of_classes]


def _flat_evaluation(root: Path, needed: bool) -> Path | None:
    """Finds evaluation images without class folders whose labels lie in a table."""
    flat = _parts(root, EVAL_FOLDERS, of_classes=False)
    labeled = next((folder for folder in flat if find_labels(folder)), None)
    if needed and flat and labeled is None:
        raise DataError(
            f"{flat[0]}: holds no class folders, and there is no {KAGGLE_LABELS} in it or above "
            "it, which names the classes of ImageNet's images (the numbers of its ground-truth "
            "file do not). Add that file, put each class's images in a folder of its own, or give "
            "`validation_split`, for example 0.1."
        )
    return labeled


def _scan_evaluation(folder: Path) -> Images:
    return _scan_classes(folder) if _subfolders(folder) else _scan_flat(folder)


def image_root(root: Path) -> Path:
    """Finds the folder of train/ and val/: `root`, or where ImageNet's archive has them below."""
    deep = (root / _IMAGENET, root / _IMAGENET.relative_to("ILSVRC"))
    return next((folder for folder in deep if folder.is_dir()), root)


def find_labels(folder: Path) -> Path | None:
    """Finds the table of a flat folder's labels, in it or above, as high as the archive has it."""
    levels = 1 + len(_IMAGENET.parts)
    places = (folder.absolute(), *folder.absolute().parents[:levels])
    return next((at / KAGGLE_LABELS for at in places if (at / KAGGLE_LABELS).is_file()), None)


def read_kaggle_labels(path: Path) -> dict[str, str]:
    """Reads the table: an image's name without suffix -> its class, as "n01440764"."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (OSError, ValueError, KeyError, IndexError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{path}: is not the table of labels that Kaggle hands out with ImageNet "
            f"({type(error).__name__}: {error}). Its columns are ImageId and PredictionString; "
            "download it again, or put the images into a folder a class."
        ) from error


def _scan_flat(folder: Path) -> Images:
    table: Any = find_labels(folder)  # the caller has found one
    labels = read_kaggle_labels(table)
    with ignored_counted(folder) as ignored:
        paths = _images(folder, ignored)
    classes: Images = {name: [] for name in sorted(set(labels.values()))}
    unknown = [path for path in paths if Path(path).stem not in labels]
    if unknown:
        raise DataError(
            f"{unknown[0]}: has no label in {table}, nor have {len(unknown) - 1} more of the "
            f"{len(paths)} images. Add them to the table, or remove the images."
        )
    for path in paths:
        classes[labels[Path(path).stem]].append(path)
    return {name: found for name, found in classes.items() if found}


def _scan_classes(folder: Path) -> Images:
    names = _subfolders(folder)
    if not names:
        raise DataError(
            f"{folder}: holds no class folders. Put each class's images in a folder of its own, "
            f"as {folder.name}/CLASS/IMAGE.jpg."
        )
    if len(names) == 1:
        raise DataError(
            f"{folder}: holds one class only, {names[0]!r}; there is nothing to tell apart. Add a "
            "second class folder, or point at the folder above the classes."
        )
    spellings: dict[str, list[str]] = {}
    for name, one in zip(names, composed(names), strict=True):
        spellings.setdefault(one, []).append(name)
    if twice := [same for same in spellings.values() if len(same) > 1]:
        raise DataError(
            f"{folder}: has two folders of the class {composed(twice[0])[0]!r}, spelled as "
            f"{' and '.join(map(ascii, twice[0]))}. Put the images into one of them."
        )
    with ignored_counted(folder) as ignored:
        beside = [entry for entry in _entries(folder) if entry.name not in names]
        ignored.update(why_ignored(entry) or "image in no class folder" for entry in beside)
        return {composed([name])[0]: _images(folder / name, ignored) for name in names}


def natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorts class names as timm, the authors' loader: numbers by value, letters without case."""

    def key(name: str) -> tuple:
        parts = re.split(r"(\d+)", name.lower())
        return [int(part) if place % 2 else part for place, part in enumerate(parts)], name

    return tuple(sorted(names, key=key))


def composed(names: Iterable[str]) -> tuple[str, ...]:
    """Spells names in one way (NFC); file systems and archives keep "é" in one piece or in two."""
    return tuple(unicodedata.normalize("NFC", name) for name in names)


@contextlib.contextmanager
def ignored_counted(folder: str | os.PathLike) -> Iterator[collections.Counter]:
    """Logs what was counted as ignored inside, by kind."""
    ignored: collections.Counter = collections.Counter()
    yield ignored
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(ignored.items()) if count)
    if kinds:
        _log.warning("%s: ignored beside the images: %s", folder, kinds)


def _images(folder: Path, ignored: collections.Counter) -> list[str]:
    kinds = {entry.path: why_ignored(entry) for entry in _entries(folder)}
    ignored.update(kind for kind in kinds.values() if kind is not None)
    paths = [path for path, kind in kinds.items() if kind is None]
    if not paths:
        raise DataError(
            f"{folder}: no images in this folder. Formats read: {', '.join(SUFFIXES)}; "
            "fill or remove the folder."
        )
    return sorted(paths)


def why_ignored(entry: os.DirEntry | Path) -> str | None:
    """Names the kind of an entry that is no image to read; None for one that is."""
    if entry.name.startswith("."):
        return "hidden"
    try:
        if entry.is_dir():
            return "folder"
        usable = entry.is_file()
    except OSError:  # links that go in a circle
        usable = False
    if not usable:
        return "broken link or special file"
    suffix = os.path.splitext(entry.name)[1].lower()
    return None if suffix in SUFFIXES else suffix or "without suffix"


def _subfolders(folder: Path) -> list[str]:
    entries = _entries(folder)
    return sorted(e.name for e in entries if not e.name.startswith(".") and os.path.isdir(e.path))


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{folder}: cannot be listed ({reason}). Check its permissions.") from error


def _split(folder: Path, classes: Images, fraction: float) -> FolderImages:
    """Takes the same fraction of each class, chosen by a hash of the names: stable, unordered."""
    if not fraction:
        raise DataError(
            f"{folder}: there are no evaluation images beside it. Add a {EVAL_FOLDERS[1]}/ "
            "folder next to train/, or give `validation_split`, for example 0.1."
        )
    train, evaluation = {}, {}
    for name, paths in classes.items():
        if len(paths) < 2:
            raise DataError(
                f"{folder / name}: holds a single image, which cannot both be trained and "
                "evaluated on. Add more, or remove the class."
            )
        count = min(max(round(len(paths) * fraction), 1), len(paths) - 1)
        chosen = set(sorted(paths, key=_name_digest)[:count])
        evaluation[name] = [path for path in paths if path in chosen]
        train[name] = [path for path in paths if path not in chosen]
    return FolderImages(train, evaluation)


def _name_digest(path: str) -> bytes:
    return hashlib.sha256(os.fsencode(os.path.basename(path))).digest()


def _check_same_classes(train: Path, evaluation: Path, images: FolderImages) -> None:
    missing = sorted(images.train.keys() - images.evaluation.keys())
    surplus = sorted(images.evaluation.keys() - images.train.keys())
    if missing or surplus:
        raise DataError(
            f"{evaluation}: its classes are not those of {train}: missing {_shown(missing)}; "
            f"surplus {_shown(surplus)}. Give both the same class folders."
        )


def _shown(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5])) or "none"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
