"""Finds the images that cannot be used: a run stops there, or leaves out exactly these."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.graph import drop_failing, plain_options
from t2t_keras.data.settings import ON_BAD_IMAGE
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import Split
from t2t_keras.errors import DataError, ResumeError, check
from t2t_keras.files import require_regular, write_json, write_text
from t2t_keras.images.constants import MAX_PIXELS, MAX_SIDE
from t2t_keras.images.decode import DEEP_TIFF
from t2t_keras.images.png import IOS_PNG

# A core decodes some 400 photographs of 500 x 375 a second, so this many take two cores a minute.
# ImageNet's 1.3 million would take them half an hour.
WHOLE_LIMIT = 50_000
INSPECTION_NAME = "inspection.json"
SKIPPED_NAME = "skipped_files.txt"

_BATCH = 256  # encoded images held at a time
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_TRAILERS = {_JPEG: b"\xff\xd9", _PNG: b"IEND\xaeB`\x82"}
_MAGIC = (_JPEG, _PNG, b"GIF8", b"RIFF", b"BM", b"II", b"MM")
_SHOWN = 5  # bad images named in a message
# No image causes these: memory or a disk is full, a device fails, or the work was stopped.
_OTHER_ERRORS = (
    *(tf.errors.ResourceExhaustedError, tf.errors.InternalError, tf.errors.UnavailableError),
    *(tf.errors.AbortedError, tf.errors.CancelledError),
)
_ADVICE = "Correct, replace or remove them (of TFDS, the dataset's folder; it is prepared again)"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BadImage:
    """An image that cannot be used."""

    place: int  # in its split
    name: str  # the file, or the record and its file
    reason: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The result of inspecting a split."""

    fingerprint: str  # of names, sizes and times of change of the files
    content_fingerprint: str  # of names below their folder and sizes: a copy has it too
    decoded: bool  # true if every image was decoded
    size: int  # number of examples inspected
    bad_images: tuple[BadImage, ...] = ()  # in the split's order
    empty_classes: tuple[int, ...] = ()  # labels of which only bad images were found

    @property
    def bad_places(self) -> list[int]:
        """Places of `bad_images`, in the split's order."""
        return [image.place for image in self.bad_images]


def digests(split: Split) -> tuple[str, str]:
    """Computes both fingerprints of an inspection without reading an image."""
    files = split.files()
    root = len(os.path.dirname(os.path.commonprefix(files)))
    whole, moved = (hashlib.sha256(str(split.size).encode()) for _ in range(2))
    for path in files:
        state = _state(path)
        whole.update(os.fsencode(f"\n{path}\0{state}"))
        moved.update(os.fsencode(f"\n{path[root:]}\0{state and state[0]}"))
    return whole.hexdigest(), moved.hexdigest()


def _state(path: str) -> tuple[int, int] | None:
    try:
        if "://" in path:
            remote = tf.io.gfile.stat(path)
            return remote.length, remote.mtime_nsec
        local = os.stat(path)
        return local.st_size, local.st_mtime_ns
    except (OSError, tf.errors.OpError):  # the inspection says what is wrong with it
        return None


def inspect_split(split: Split, num_classes: int, whole: bool | None = None) -> Inspection:
    """Reads every image of a split once and finds those that cannot be trained on.

    `whole` decodes all of them; otherwise JPEG and PNG files are decoded only where they do not end
    as such or declare too many pixels. None stands for `split.size <= WHOLE_LIMIT`.
    """
    whole = split.size <= WHOLE_LIMIT if whole is None else whole
    started = time.monotonic()
    if split.size > WHOLE_LIMIT:
        _log.info("Checking %d images.", split.size)
    digest = digests(split)
    unread, bad = set(range(split.size)), []
    good_labels: set[int] = set()
    bad_labels: set[int] = set()
    for place, label, reason in _verdicts(split, num_classes, whole):
        unread.remove(place)
        (bad_labels if reason else good_labels).add(label)
        if reason:
            bad.append(BadImage(place, split.name_at(place), reason))
    bad += [BadImage(place, split.name_at(place), split.read_fault) for place in unread]
    bad.sort(key=lambda image: image.place)
    emptied = sorted(bad_labels & set(range(num_classes)) - good_labels)
    _log.info("%d images checked in %.1f s", split.size, time.monotonic() - started)
    return Inspection(*digest, whole, split.size, tuple(bad), tuple(emptied))


@contextlib.contextmanager
def image_errors(source: Source, suspects: Iterable[Split] | None = None) -> Iterator[None]:
    """Raises a `DataError` naming the file where batches inside hold an image that is bad.

    tf.data does not name it, so the images are inspected afterwards.

    Args:
        source: The dataset that the batches are made of.
        suspects: Parts of it to inspect, up to the first with a bad image; all of it if not given.

    Raises:
        DataError: An image cannot be read, or its label is out of range.
    """
    try:
        yield
    except _OTHER_ERRORS:
        raise
    except tf.errors.OpError as error:
        everything = filter(None, (source.train_split, source.eval_split))
        for split in suspects or everything:
            if bad := inspect_split(split, source.num_classes, whole=True).bad_images:
                first = f"{_printable(bad[0].name)}: {bad[0].reason}"
                raise DataError(f"{first}. {_ADVICE}.{_listed(bad[1:])}") from error
        raise


def _verdicts(split: Split, num_classes: int, whole: bool) -> Iterator[tuple[int, int, str | None]]:
    """(place, label, fault) of every image that can be read, in no particular order."""

    def verdict(example: tuple) -> tuple[int, int, str | None]:
        place, contents, label = example
        return int(place), int(label), _fault(contents, label, num_classes, whole)

    read = split.enumerate_keys().map(
        lambda place, key: (place, *split.read(key)), tf.data.AUTOTUNE, deterministic=False
    )
    batches = drop_failing(read).batch(_BATCH).prefetch(1).with_options(plain_options())
    # Decoded outside of tf.data, which would not say which image fails, and why. Both decoders
    # work without Python's lock, so the threads run side by side.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in batches.as_numpy_iterator():
            yield from pool.map(verdict, zip(*batch, strict=True))


def _fault(contents: bytes, label: int, num_classes: int, whole: bool) -> str | None:
    if not 0 <= label < num_classes:
        return f"label {label} is outside 0..{num_classes - 1}"
    if not contents:
        return "empty"
    if not contents.startswith(_MAGIC):
        return "no JPEG, PNG, WebP, GIF, BMP or TIFF"
    try:
        if whole or not _looks_whole(contents):
            with tf.device("CPU:0"):  # where tf.data decodes too
                decode_image(contents)
    except tf.errors.InvalidArgumentError as error:
        if "too many pixels" in error.message or "above the limit of" in error.message:
            return f"declares more than {MAX_PIXELS:,} pixels, or {MAX_SIDE:,} a side"
        kinds = (kind for kind in (IOS_PNG, DEEP_TIFF) if kind in error.message)
        return next(kinds, "damaged or cut off, or of a kind that is not read")
    return None


def _looks_whole(contents: bytes) -> bool:
    """Tells whether a JPEG or PNG ends as one and declares an allowed size."""
    trailers = tuple(end for kind, end in _TRAILERS.items() if contents.startswith(kind))
    if not contents.endswith(trailers):
        return False
    if contents.startswith(_JPEG):
        height, width, _ = tf.image.extract_jpeg_shape(contents).numpy().tolist()
    else:
        width, height = struct.unpack(">II", contents[16:24])
    return height * width <= MAX_PIXELS and max(height, width) <= MAX_SIDE


@dataclasses.dataclass(frozen=True, eq=False)
class CheckedSplits:
    """The parts of a dataset after their inspection."""

    splits: Mapping[str, Split]  # part, such as "train" -> its images that can be used
    inspections: Mapping[str, Inspection]
    skipping: bool  # true if bad images are left out; there are none otherwise

    def summary(self) -> dict[str, dict[str, Any]]:
        """Describes the files and those left out, which a run's order depends on, as JSON."""
        summary = {}
        for part, found in self.inspections.items():
            text = f"{found.content_fingerprint} {found.bad_places}"
            digest = hashlib.sha256(text.encode()).hexdigest()
            used = found.size - len(found.bad_images)
            summary[part] = {"size": found.size, "used": used, "digest": digest}
        return summary

    def check_same(self, then: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises a ResumeError where the images are not those of an earlier `summary`."""
        for part, now in self.summary().items():
            before = then.get(part, now)
            if before != now:
                raise ResumeError(
                    f"The run was started with {before['used']:,} images of the part {part!r}, "
                    f"of {before['size']:,}; now they are {now['used']:,} of {now['size']:,}, or "
                    "others. Restore the files it was started with, or start another run with "
                    f"`run_name`.{_listed(self.inspections[part].bad_images)}"
                )

    def write(self, folder: Path) -> None:
        """Writes `inspection.json` and, if something was left out, `skipped_files.txt`.

        A line of the second is part, name and reason, with tabs between; a tab, line end or
        backslash in a name is escaped.

        Raises:
            OSError: A file cannot be written.
        """
        found = {part: dataclasses.asdict(one) for part, one in self.inspections.items()}
        write_json(folder / INSPECTION_NAME, found)
        lines = [
            "\t".join((part, bad.name.translate(_ESCAPES), bad.reason)) + "\n"
            for part, inspection in self.inspections.items()
            for bad in inspection.bad_images
        ]
        if not (self.skipping and lines):
            (folder / SKIPPED_NAME).unlink(missing_ok=True)
            return
        write_text(folder / SKIPPED_NAME, "".join(lines))


def check_images(
    splits: Mapping[str, Split],
    class_names: Sequence[str],
    on_bad_image: str = "stop",
    max_bad_fraction: float = 0.01,
    kept: Path | None = None,
) -> CheckedSplits:
    """Inspects every image of some splits once and stops at, or leaves out, the bad ones.

    To leave out exactly the bad ones, "skip" decodes every image; "stop" does so up to
    `inspection.WHOLE_LIMIT` and checks the ends of files in larger sets, where damage in the middle
    of a file stops the run once training meets it (in a JPEG, once a random crop reaches it).

    Args:
        splits: Part, such as "train" -> its images, with nothing left out yet.
        class_names: Names of the classes, in the order of the labels.
        on_bad_image: "stop" or "skip".
        max_bad_fraction: Fraction of a part that may be left out, in [0, 1).
        kept: The folder of a run that is resumed, where `CheckedSplits.write` left its inspections;
            files that have not changed since are not inspected again.

    Raises:
        DataError: An image cannot be used; when skipping, too many, or all of a class.
        ValueError: `on_bad_image` or `max_bad_fraction` is out of range.
    """
    modes = f"one of {', '.join(ON_BAD_IMAGE)}"
    check(on_bad_image in ON_BAD_IMAGE, "on_bad_image", on_bad_image, modes)
    check(0 <= max_bad_fraction < 1, "max_bad_fraction", max_bad_fraction, "in [0, 1)")
    skipping = on_bad_image == "skip"
    earlier = {} if kept is None else _read(kept / INSPECTION_NAME)
    found = {}
    for part, split in splits.items():
        known = earlier.get(part)
        if (
            known is None
            or (skipping and not known.decoded)
            or known.fingerprint != digests(split)[0]
        ):
            known = inspect_split(split, len(class_names), whole=skipping or None)
        found[part] = known
    if not skipping:
        _refuse(found)
    usable = {
        part: _without_bad(part, split, found[part], class_names, max_bad_fraction)
        for part, split in splits.items()
    }
    return CheckedSplits(usable, found, skipping)


def _read(path: Path) -> dict[str, Inspection]:
    """Reads what `CheckedSplits.write` wrote; nothing where it cannot be read."""
    found = {}
    try:
        require_regular(path)
        for part, fields in json.loads(path.read_bytes()).items():
            bad = tuple(BadImage(**image) for image in fields.pop("bad_images"))
            emptied = tuple(fields.pop("empty_classes"))
            found[part] = Inspection(**fields, bad_images=bad, empty_classes=emptied)
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        _log.warning("%s: cannot be used (%s); the images are checked again.", path, error)
        return {}


def _refuse(inspections: Mapping[str, Inspection]) -> None:
    bad = [image for inspection in inspections.values() for image in inspection.bad_images]
    if bad:
        total = sum(inspection.size for inspection in inspections.values())
        raise DataError(
            f"{_printable(bad[0].name)}: {bad[0].reason}. {len(bad):,} of {total:,} images cannot "
            f"be used. {_ADVICE}, or leave them out with `on_bad_image`=skip.{_listed(bad)}"
        )


def _without_bad(
    part: str, split: Split, inspection: Inspection, class_names: Sequence[str], most: float
) -> Split:
    """Leaves a part's bad images out; refuses more than that fraction, or all of a class."""
    lost, size, listed = len(inspection.bad_images), split.size, _listed(inspection.bad_images)
    if lost > most * size or lost == size:
        raise DataError(
            f"`max_bad_fraction`={most:g} is exceeded: {lost:,} of the {size:,} images of "
            f"the part {part!r} cannot be used. {_ADVICE}, or raise it.{listed}"
        )
    if inspection.empty_classes:
        names = ", ".join(repr(class_names[label]) for label in inspection.empty_classes[:_SHOWN])
        raise DataError(
            f"`on_bad_image`=skip leaves no image in the part {part!r} of {names}. "
            f"{_ADVICE}.{listed}"
        )
    if not lost:
        return split
    message = "%d of %d images of the part %r are left out, see %s:%s"
    _log.warning(message, lost, size, part, SKIPPED_NAME, listed)
    return split.without(inspection.bad_places)


def _listed(bad: Sequence[BadImage]) -> str:
    lines = [f"\n  {_printable(image.name)}: {image.reason}" for image in bad[:_SHOWN]]
    more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return "".join(lines) + more


def _printable(name: str) -> str:
    """Escapes what is no text: a file's name need not be, and it could not be logged."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
