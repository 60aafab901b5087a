"""Decoding in parallel, with an error that names the picture that cannot be read.

TensorFlow's decoders do not say which file they failed at, and a graph cannot catch an error. So
failed elements are dropped, the batches of the rest are compared with the list of what was asked
for, and the first gap is reported; nothing is lost silently. `picture_errors` makes a
`DataError` of that report.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from t2t_keras.errors import DataError
from t2t_keras.images.decode import read_rgb
from t2t_keras.images.resize import Size

_UNREADABLE = "t2t_keras: cannot read <"
_LABEL = "t2t_keras: bad label <"
_CLOSE = "> of the data set"
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def read_batches(
    keys: tf.data.Dataset,
    names: tf.data.Dataset,
    work: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    target: Size,
    num_classes: int,
    batch_size: int,
    *draws: tf.data.Dataset,
) -> tf.data.Dataset:
    """Makes a picture and a label of every key, in order and in batches.

    Args:
        keys: Elements (epoch, place in the epoch, key).
        names: As many elements (epoch, place, what to call the picture in a message).
        work: Graph code: (key, draws) -> (height, width, 3) uint8 and () int32 label.
        target: The pictures' (height, width).
        num_classes: Labels must be below it.
        batch_size: Of every batch but perhaps the last.
        *draws: What else `work` takes, an element a key.

    Returns:
        A data set of (pictures, labels). Iterating it raises `tf.errors.InvalidArgumentError`
        where a picture cannot be read or a label is out of range.
    """

    def made(numbered, *drawn):
        epoch, place, key = numbered
        return (epoch, place, *work(key, *drawn))

    def checked(asked, got):
        epochs, places, called = asked
        count = tf.size(places)
        got_epochs, got_places, images, labels = (part[:count] for part in got)
        there = (epochs == got_epochs) & (places == got_places)
        in_range = (labels >= 0) & (labels < num_classes)
        first_bad = tf.argmin(tf.cast(there & in_range, tf.int32))
        report = tf.where(
            there[first_bad],
            _label_report(called[first_bad], labels[first_bad], num_classes),
            tf.strings.join([_UNREADABLE, called[first_bad], _CLOSE]),
        )
        good = tf.debugging.Assert(tf.reduce_all(there & in_range), [report])
        with tf.control_dependencies([good]):
            return tf.ensure_shape(images, (None, *target, 3)), tf.identity(labels)

    pictures = tf.data.Dataset.zip((keys, *draws))
    pictures = pictures.map(made, num_parallel_calls=os.cpu_count(), deterministic=True)
    pictures = pictures.ignore_errors(log_warning=False)
    # Stands in for what was dropped, so that even a last batch is full enough to be compared.
    nowhere = (tf.constant(-1, tf.int64),) * 2
    filling = (*nowhere, tf.zeros((*target, 3), tf.uint8), tf.constant(0, tf.int32))
    pictures = pictures.concatenate(tf.data.Dataset.from_tensors(filling).repeat(batch_size))
    batches = tf.data.Dataset.zip((names.batch(batch_size), pictures.batch(batch_size)))
    return batches.map(checked, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


@contextlib.contextmanager
def picture_errors() -> Iterator[None]:
    """Raises a `DataError` naming the file where iterating a pipeline inside found a bad picture.

    Raises:
        DataError: A picture cannot be read, or its label is out of range.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        explained = _explain(error.message)
        if explained is None:
            raise
        raise DataError(explained) from error


def _label_report(name: tf.Tensor, label: tf.Tensor, num_classes: int) -> tf.Tensor:
    text = [_LABEL, name, ": label ", tf.strings.as_string(label)]
    return tf.strings.join([*text, f" is outside 0..{num_classes - 1}", _CLOSE])


def _explain(message: str) -> str | None:
    found = re.search(f"({_UNREADABLE}|{_LABEL})(.*?){_CLOSE}", message, re.DOTALL)
    if found is None:
        return None
    kind, what = found[1], _unescaped(found[2])
    if kind == _LABEL:
        return f"{what}. Correct the labels, or choose a labelled split."
    if os.path.isfile(what):
        try:
            read_rgb(what)
        except DataError as error:
            return str(error)
    return (
        f"{what}: cannot be read. It is damaged, or no JPEG, PNG, WebP, GIF or 24-bit BMP; "
        "convert, replace or remove it."
    )


def _unescaped(text: str) -> str:
    """Undoes what TensorFlow does to the strings in an assertion's message."""

    def plain(match):
        code = match[1]
        octal = len(code) == 3
        return bytes([int(code, 8)]) if octal else _ESCAPED.get(code, code)

    return os.fsdecode(re.sub(rb"\\([0-7]{3}|.)", plain, os.fsencode(text)))
