"""A look at every picture of a split before a run is built on it.

What is met in training is named by `reading` as well, but late, and a run cannot leave it out
without changing its order. Here every picture is read once, in parallel, and no pixels are kept.
"""

import concurrent.futures
import dataclasses
import hashlib
import logging
import os
import struct
import time
from collections.abc import Iterable, Iterator

import tensorflow as tf

from t2t_keras.data.decode import decode_picture
from t2t_keras.data.plain_options import plain_options
from t2t_keras.data.splits import Split
from t2t_keras.images.constants import MAX_PIXELS

# A core decodes some 400 photographs of 500 x 375 a second, so this many take two cores a minute.
# ImageNet's 1.3 million would take them half an hour.
WHOLE_LIMIT = 50_000

_TOGETHER = 256  # encoded pictures held at a time
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_ENDS = {_JPEG: b"\xff\xd9", _PNG: b"IEND\xaeB`\x82"}
_MAGIC = (_JPEG, _PNG, b"GIF8", b"RIFF", b"BM")

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class BadPicture:
    """A picture that cannot be used.

    Args:
        place: Where it stands in its split.
        name: The file, or the record and its file.
        reason: Why.
    """

    place: int
    name: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a look at a split has found.

    Args:
        fingerprint: Of the files that were looked at.
        contents: The same without times, and wherever the files lie.
        whole: Whether every picture was decoded.
        size: Number of examples looked at.
        bad: What cannot be used, in the split's order.
        emptied: Labels of which nothing is left without `bad`, as far as its labels can be read.
    """

    fingerprint: str
    contents: str
    whole: bool
    size: int
    bad: tuple[BadPicture, ...] = ()
    emptied: tuple[int, ...] = ()

    @property
    def bad_places(self) -> list[int]:
        """Where `bad` stand, in the split's order."""
        return [picture.place for picture in self.bad]


def fingerprint(split: Split) -> str:
    """A digest of the names, sizes and times of change of a split's files, and of its size."""
    return _digest(split.size, ((path, _state(path)) for path in split.files()))


def contents_digest(split: Split) -> str:
    """The same without times and the folder of all files: a copy of a data set has it too."""
    files = split.files()
    root = len(os.path.dirname(os.path.commonprefix(files)))
    sizes = ((path[root:], (state := _state(path)) and state[0]) for path in files)
    return _digest(split.size, sizes)


def _digest(size: int, described: Iterable[tuple[str, object]]) -> str:
    digest = hashlib.sha256(str(size).encode())
    for name, what in described:
        digest.update(os.fsencode(f"\n{name}\0{what}"))
    return digest.hexdigest()


def inspect_split(split: Split, num_classes: int, whole: bool | None = None) -> Inspection:
    """Reads every picture of a split once and finds those that cannot be trained on.

    Where all are decoded, exactly those are found that `decode_picture` refuses, together with
    files and records that cannot be read and labels out of range. Otherwise all are read, but of
    JPEG and PNG files only those are decoded that do not begin and end as such, or declare too
    many pixels: damage in the middle of a file is left to be met in training.

    Args:
        split: As `open_source` makes it, with nothing left out yet.
        num_classes: Labels must be below it.
        whole: Whether to decode all; None does it up to `WHOLE_LIMIT` pictures.
    """
    whole = split.size <= WHOLE_LIMIT if whole is None else whole
    started = time.monotonic()
    if split.size > WHOLE_LIMIT:
        _log.info("Looking at %d pictures once before they are trained on.", split.size)
    seen, contents = fingerprint(split), contents_digest(split)
    unread, bad = set(range(split.size)), []
    good_labels, bad_labels = set(), set()
    for place, label, reason in _verdicts(split, num_classes, whole):
        unread.remove(place)
        (bad_labels if reason else good_labels).add(label)
        if reason:
            bad.append(BadPicture(place, split.called(place), reason))
    bad += [BadPicture(place, split.called(place), split.unread) for place in unread]
    bad.sort(key=lambda picture: picture.place)
    emptied = sorted(bad_labels & set(range(num_classes)) - good_labels)
    _log.info("%d pictures checked in %.1f s", split.size, time.monotonic() - started)
    return Inspection(seen, contents, whole, split.size, tuple(bad), tuple(emptied))


def _verdicts(split: Split, num_classes: int, whole: bool) -> Iterator[tuple[int, int, str | None]]:
    """(place, label, what is wrong) of every picture that can be read, in no particular order."""

    def verdict(example):
        place, contents, label = example
        return int(place), int(label), _fault(contents, label, num_classes, whole)

    read = split.numbered().map(
        lambda place, key: (place, *split.read(key)), tf.data.AUTOTUNE, deterministic=False
    )
    batches = read.ignore_errors(log_warning=False).batch(_TOGETHER).prefetch(1)
    batches = batches.with_options(plain_options())
    # Decoded outside of tf.data, which would not say which picture fails, and why. TensorFlow
    # works without Python's lock, so the threads run side by side.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in batches.as_numpy_iterator():
            yield from pool.map(verdict, zip(*batch, strict=True))


def _fault(contents: bytes, label: int, num_classes: int, whole: bool) -> str | None:
    if not 0 <= label < num_classes:
        return f"label {label} is outside 0..{num_classes - 1}"
    if not contents:
        return "empty"
    if not contents.startswith(_MAGIC):
        return "no JPEG, PNG, WebP, GIF or 24-bit BMP"
    try:
        if whole or not _looks_whole(contents):
            with tf.device("CPU:0"):  # where tf.data decodes too
                decode_picture(contents)
    except tf.errors.InvalidArgumentError as error:
        if "too many pixels" in error.message:
            return f"declares more than {MAX_PIXELS:,} pixels"
        return "damaged or cut off, or of a kind that is not read"
    return None


def _looks_whole(contents: bytes) -> bool:
    """Whether a JPEG or PNG ends as one and declares an allowed size; False for other formats.

    Raises:
        tf.errors.InvalidArgumentError: A JPEG declares no size.
    """
    if not any(contents.startswith(kind) and contents.endswith(_ENDS[kind]) for kind in _ENDS):
        return False
    if contents.startswith(_JPEG):
        height, width, _ = tf.image.extract_jpeg_shape(contents).numpy().tolist()
    else:
        width, height = struct.unpack(">II", contents[16:24])
    return height * width <= MAX_PIXELS


def _state(path: str) -> tuple[int, int] | None:
    try:
        if "://" in path:
            remote = tf.io.gfile.stat(path)
            return remote.length, remote.mtime_nsec
        local = os.stat(path)
        return local.st_size, local.st_mtime_ns
    except (OSError, tf.errors.OpError):  # the look at the pictures says what is wrong with it
        return None
