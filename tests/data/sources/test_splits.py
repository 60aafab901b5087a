import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.seeds import order_seed
from t2t_keras.data.sources import splits
from t2t_keras.data.sources.splits import FileSplit, RecordSplit
from tests.support.any_images import write_shards

COUNT = 50


def _file_split(tmp_path):
    for index in range(COUNT):
        (tmp_path / f"{index:02d}").write_bytes(b"image %02d" % index)
    paths = [str(tmp_path / f"{index:02d}").encode() for index in range(COUNT)]
    return FileSplit(tf.constant(paths), tf.range(COUNT))


def _record_split(tmp_path, window=12):
    records = [b"image %02d" % index for index in range(COUNT)]
    tens = [[b"left out", *records[at : at + 10]] for at in range(0, COUNT, 10)]
    shards = tuple((path, 1, 10) for path, *_ in write_shards(tmp_path, tens))
    return RecordSplit(COUNT, shards, _parsed, window)


def _parsed(record):
    """A record, and the number in it as its label."""
    return record, tf.strings.to_number(tf.strings.substr(record, 6, 2), tf.int32)


@pytest.fixture(params=[_file_split, _record_split], ids=["files", "records"])
def split(request, tmp_path):
    return request.param(tmp_path)


def _contents(split, seed):
    """The contents read in an order; every label is that of its contents."""
    keys = split.keys(None if seed is None else order_seed(*seed))
    read = [(contents.numpy(), int(label)) for contents, label in map(split.read, keys)]
    assert [contents for contents, _ in read] == [b"image %02d" % label for _, label in read]
    return [contents for contents, _ in read]


def test_every_example_comes_once_in_every_order(split):
    fixed = _contents(split, None)
    assert len(fixed) == len(set(fixed)) == split.size == COUNT
    for seed in ((0, 0), (0, 1), (1, 0)):
        assert sorted(_contents(split, seed)) == sorted(fixed)


def test_labels_stand_in_the_fixed_order(split):
    for part in (split, split.without([3, 40])):
        labels = part.every_label()
        assert labels.dtype == np.int64 and len(labels) == part.size
        assert [b"image %02d" % label for label in labels] == _contents(part, None)


def test_labels_of_files_are_known_without_reading_them(tmp_path):
    split = _file_split(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert split.every_label().tolist() == list(range(COUNT))


def test_an_order_is_its_seeds_own(split):
    first = _contents(split, (0, 0))
    tf.random.set_seed(999)
    assert _contents(split, (0, 0)) == first
    orders = {tuple(_contents(split, seed)) for seed in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert len(orders) == 4
    assert _contents(split, None) not in [list(order) for order in orders]


def test_a_part_is_some_of_an_order_and_of_records_the_whole(split):
    part = split.part(order_seed(0, 1), 10, 5)
    if isinstance(split, FileSplit):
        assert _contents(part, None) == _contents(split, (0, 1))[10:15]
    else:
        assert part is split


def test_orders_are_made_inside_a_graph(split):
    epochs = tf.data.Dataset.range(2).flat_map(lambda epoch: split.keys(order_seed(0, epoch)))
    contents = [split.read(key)[0].numpy() for key in epochs]
    assert contents == _contents(split, (0, 0)) + _contents(split, (0, 1))


@pytest.mark.parametrize(("window", "room"), [(12, 10), (50, 15)])
def test_records_move_across_the_whole_split(tmp_path, monkeypatch, window, room):
    monkeypatch.setattr(splits, "_OPEN_SHARDS", 2)
    split = _record_split(tmp_path, window)
    places = np.array([np.argsort(_contents(split, (0, epoch))) for epoch in range(24)])
    means = places.mean(axis=0)
    assert means.min() > room and means.max() < COUNT - room
