import dataclasses
import json
import logging
import os
import shutil

import pytest
import tensorflow as tf

from t2t_keras.data import inspection as bad_images
from t2t_keras.data.inspection import check_images
from t2t_keras.data.ops.seeds import order_seed
from t2t_keras.data.pipeline import train_dataset
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import FileSplit, RecordSplit
from t2t_keras.errors import DataError, ResumeError
from tests.support.images import encode, noise

CLASSES = ("left", "right")


@pytest.fixture(scope="module")
def good():
    return [encode(noise(8, 8, seed), "PNG") for seed in range(10)]


@pytest.fixture
def split(tmp_path, good):
    """10 good files, of the classes 0 and 1 in turn."""
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for path, data in zip(paths, good, strict=True):
        path.write_bytes(data)
    return FileSplit(tf.constant([os.fsencode(path) for path in paths]), tf.range(10) % 2)


def usable(split, *arguments, **options):
    return check_images({"train": split}, CLASSES, *arguments, **options)


def spoil(split, *places):
    for place in places:
        os.truncate(split.called(place), 20)


def test_of_2000_files_exactly_the_bad_ones_are_lost_and_listed(tmp_path, good, caplog):
    bad = set(range(50, 2000, 100))  # 1 in 100
    paths = []
    for number in range(2000):
        paths.append(tmp_path / f"{number:04d} é\n.png")
        paths[-1].write_bytes(b"" if number in bad else good[number % 10])
    split = FileSplit(tf.constant([os.fsencode(path) for path in paths]), tf.range(2000) % 2)
    with caplog.at_level(logging.WARNING):
        parts = usable(split, "skip")
    assert "20 of 2000 images of the part 'train' are left out" in caplog.text
    left = parts.splits["train"]
    expected = [os.fsencode(path) for number, path in enumerate(paths) if number not in bad]
    assert left.paths.numpy().tolist() == expected
    parts.write(tmp_path)
    lines = (tmp_path / "skipped_files.txt").read_text("utf-8").splitlines()
    names = [str(paths[number]).replace("\n", r"\n") for number in sorted(bad)]
    assert lines == [f"train\t{name}\tempty" for name in names]


def test_nothing_bad_changes_nothing_and_lists_nothing(split, tmp_path):
    for mode in ("stop", "skip"):
        parts = usable(split, mode)
        assert parts.splits["train"] is split
        parts.write(tmp_path)
        assert not (tmp_path / "skipped_files.txt").exists()


def test_stop_names_the_first_bad_ones_and_the_way_on(split):
    spoil(split, 2, 3, 4, 6, 7, 8, 9)
    with pytest.raises(DataError) as caught:
        usable(split)
    first, *names, more = str(caught.value).split("\n")
    assert first.startswith(f"{split.called(2)}: damaged or cut off")
    assert "7 of 10 images cannot be used" in first and "`on_bad_image`=skip" in first
    assert [name.strip().split(": ")[0] for name in names] == [
        split.called(place) for place in (2, 3, 4, 6, 7)
    ]
    assert more == "  and 2 more"


def test_more_than_the_fraction_is_refused_by_its_name(split):
    spoil(split, 1, 2)
    assert usable(split, "skip", 0.2).splits["train"].size == 8
    spoil(split, 3)
    message = r"`max_bad_fraction`=0.2 is exceeded: 3 of the 10 .*part 'train'.*\n.*1.png: damaged"
    with pytest.raises(DataError, match=message):
        usable(split, "skip", 0.2)


def test_a_part_is_weighed_by_itself(split):
    spoil(split, 3)
    large = FileSplit(tf.repeat(split.paths[:1], 90), tf.zeros(90, tf.int32))
    with pytest.raises(DataError, match="1 of the 10 images of the part 'evaluation'"):
        check_images({"train": large, "evaluation": split}, CLASSES, "skip", 0.05)


def test_a_class_left_without_images_is_refused(split):
    spoil(split, 1, 3, 5, 7, 9)
    with pytest.raises(DataError, match="no image in the part 'train' of 'right'"):
        usable(split, "skip", 0.9)


@pytest.mark.parametrize(("mode", "share"), [("ignore", 0.1), ("skip", 1.0), ("skip", -0.1)])
def test_a_wrong_argument_is_named(split, mode, share):
    with pytest.raises(ValueError, match="Received: (on_bad_image=ignore|max_bad_fraction=)"):
        usable(split, mode, share)


def test_what_was_found_is_kept_and_not_looked_for_again(split, tmp_path, monkeypatch):
    spoil(split, 4)
    first = usable(split, "skip", 0.2)
    first.write(tmp_path)
    looks = []
    look = bad_images.inspect_split
    monkeypatch.setattr(
        bad_images, "inspect_split", lambda *a, **o: looks.append(a) or look(*a, **o)
    )
    again = usable(split, "skip", 0.2, kept=tmp_path)
    assert not looks and again.inspections == first.inspections
    assert (
        again.splits["train"].paths.numpy().tolist() == first.splits["train"].paths.numpy().tolist()
    )
    os.utime(split.called(7), ns=(0, 0))
    assert (
        usable(split, "skip", 0.2, kept=tmp_path).inspections["train"].bad_images
        == again.inspections["train"].bad_images
    )
    assert len(looks) == 1


def test_what_was_not_decoded_is_not_enough_to_skip(split, tmp_path):
    parts = usable(split)
    hasty = dataclasses.replace(parts.inspections["train"], decoded=False)
    dataclasses.replace(parts, inspections={"train": hasty}).write(tmp_path)
    assert not usable(split, "stop", kept=tmp_path).inspections["train"].decoded
    assert usable(split, "skip", kept=tmp_path).inspections["train"].decoded


def test_a_damaged_record_of_it_costs_another_look_and_no_more(split, tmp_path, caplog):
    for content in ("", "[]", "{", '{"train": 3}', '{"train": {"bad": []}}'):
        caplog.clear()
        (tmp_path / "inspection.json").write_text(content)
        assert usable(split, kept=tmp_path).splits["train"] is split
        assert "inspection.json: cannot be used" in caplog.text


def renamed(split):
    os.rename(split.called(4), f"{split.called(4)}x")
    moved = [path + b"x" * (place == 4) for place, path in enumerate(split.paths.numpy())]
    return FileSplit(tf.constant(moved), split.labels)


def replaced(split):
    with open(split.called(4), "ab") as file:
        file.write(b"behind the end")
    return split


def spoilt(split):
    spoil(split, 4)
    return split


@pytest.mark.parametrize(
    ("change", "now"),
    [
        (renamed, "10 of 10, or others"),
        (replaced, "10 of 10, or others"),
        (spoilt, "9 of 10"),
        (lambda split: split.without([4, 5]), "8 of 8"),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_does_not_go_on_with_other_images(change, now, kept, split, tmp_path):
    first = usable(split, "skip", 0.2)
    if kept:
        first.write(tmp_path)
    then = json.loads(json.dumps(first.summary()))
    changed = usable(change(split), "skip", 0.2, kept=tmp_path)
    with pytest.raises(ResumeError, match=f"started with 10 .*, of 10; now they are {now}"):
        changed.check_same(then)
    changed.check_same(changed.summary())


def test_a_copy_of_the_images_is_the_same(split, tmp_path):
    then = usable(split).summary()
    (tmp_path / "copy").mkdir()
    copies = [
        shutil.copyfile(path, tmp_path / "copy" / os.path.basename(path)) for path in split.files()
    ]
    usable(FileSplit(tf.constant(list(map(str, copies))), split.labels)).check_same(then)


def test_names_that_are_no_text_are_kept_and_listed(split, tmp_path, caplog):
    name = os.fsencode(tmp_path) + b"/not\xfftext\t.png"
    with open(name, "wb"):
        odd = FileSplit(tf.concat([split.paths, [name]], 0), tf.concat([split.labels, [0]], 0))
    parts = usable(odd, "skip", 0.2)
    assert r"/not\udcfftext" in caplog.text and caplog.text.encode("utf-8")
    parts.write(tmp_path)
    line = b"train\t" + name.replace(b"\t", rb"\t") + b"\tempty\n"
    assert (tmp_path / "skipped_files.txt").read_bytes() == line
    assert usable(odd, "skip", 0.2, kept=tmp_path).inspections == parts.inspections


def test_the_rest_of_the_records_comes_in_an_order_of_its_own_seed(tmp_path, good):
    shards = []
    for shard in range(4):
        path = str(tmp_path / f"shard{shard}")
        with tf.io.TFRecordWriter(path) as writer:
            for record in range(10):
                bad = (shard, record) in ((1, 3), (1, 9), (2, 0))
                writer.write(b"" if bad else good[record])
        shards.append((path, 0, 10))

    def parse(key):
        return key, tf.strings.length(key) % 2

    whole = RecordSplit("mine", 40, tuple(shards), parse, 40)
    left = usable(whole, "skip", 0.1).splits["train"]
    assert left.size == 37 and left.kept.sum() == 37
    assert left.without([0, 1]).size == 35
    fixed = [key.numpy() for key in left.keys(None)]
    assert sorted(fixed) == sorted(
        good[record]
        for shard in range(4)
        for record in range(10)
        if (shard, record) not in ((1, 3), (1, 9), (2, 0))
    )
    orders = [[key.numpy() for key in left.keys(order_seed(0, epoch))] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == sorted(fixed) for order in orders)
    source = Source("mine", CLASSES, left, left)
    assert len(list(train_dataset(source, 8, 7, 0, epochs=2))) == 10
