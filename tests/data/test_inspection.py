import dataclasses
import itertools
import json
import logging
import os
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data import inspection
from t2t_keras.data.inspection import check_images, digests, image_errors, inspect_split
from t2t_keras.data.ops.seeds import order_seed
from t2t_keras.data.pipeline import eval_dataset, train_dataset
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import FileSplit, RecordSplit
from t2t_keras.data.sources.tfds import record_split
from t2t_keras.errors import DataError, ResumeError
from tests.support.any_images import prepare, write_shards
from tests.support.images import damaged, encode, noise, readable_kinds, unreadable_kinds

READABLE, UNREADABLE = readable_kinds(), unreadable_kinds()
KINDS = {**READABLE, **UNREADABLE}
CLASSES = ("left", "right")


def files(folder, contents, name="{:04d}.jpg"):
    """A split of files with these contents, labeled 0 and 1 in turn."""
    paths = [folder / name.format(number) for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    labels = tf.range(len(contents)) % 2
    return FileSplit(tf.constant([os.fsencode(path) for path in paths]), labels)


@pytest.fixture(scope="module")
def good():
    return [encode(noise(8, 8, seed), "PNG") for seed in range(10)]


@pytest.fixture
def split(tmp_path, good):
    return files(tmp_path, good)


@pytest.fixture(scope="module")
def of_every_kind(tmp_path_factory):
    """Every kind of file as a folder, and as what TFDS writes of it."""
    root = tmp_path_factory.mktemp("kinds")
    builder = prepare({"train": list(KINDS.values())}, root / "tfds")
    return {"files": files(root, list(KINDS.values())), "records": record_split(builder, "train")}


def test_of_every_kind_the_unreadable_ones_are_found(of_every_kind):
    for split, whole in itertools.product(of_every_kind.values(), (True, False)):
        found = inspect_split(split, 2, whole)
        assert split.size == found.size == len(KINDS) >= 40
        assert found.empty_classes == () and found.decoded == whole
        reasons = {list(KINDS)[bad.place]: bad.reason for bad in found.bad_images}
        assert list(reasons) == list(UNREADABLE)
        assert reasons["empty"] == "empty"
        for kind in ("text", "html"):
            assert reasons[kind] == "no JPEG, PNG, WebP, GIF, BMP or TIFF"
        assert "(CgBI)" in reasons["png_ios"] and "floating-point" in reasons["tiff_floats"]
        for kind in ("cut_jpeg", "cut_png", "jpeg_header_only"):
            assert reasons[kind].startswith("damaged or cut off")
        for kind in ("bomb_png", "bomb_jpeg", "bomb_gif", "gif_like_a_webp"):
            assert reasons[kind] == "declares more than 64,000,000 pixels, or 65,535 a side"


def test_the_readable_kinds_are_left_as_they_are_in_files_and_records(of_every_kind):
    count = len(READABLE)
    names = {"files": f"{count:04d}.jpg", "records": f"record {count} of "}
    for way, split in of_every_kind.items():
        found = inspect_split(split, 2)
        assert names[way] in found.bad_images[0].name
        rest = split.without(found.bad_places)
        read = [tuple(part.numpy() for part in rest.read(key)) for key in rest.keys(None)]
        assert read == [(data, number % 2) for number, data in enumerate(READABLE.values())]


def test_of_mutated_files_exactly_those_are_found_that_training_could_not_read(tmp_path):
    rng = np.random.default_rng(7)
    whole = [encode(noise(24, 32, seed), kind) for seed in range(5) for kind in ("JPEG", "PNG")]
    mutated = []
    for number in range(500):
        data = damaged(whole[number % len(whole)], rng, most=8)
        end = len(data) if number % 3 else rng.integers(0, len(data) + 1)
        mutated.append(data[:end])
    split = files(tmp_path, mutated)
    found = inspect_split(split, 2)
    bad = found.bad_places
    assert 100 < len(bad) < 450
    assert [image.name for image in found.bad_images] == [split.files()[place] for place in bad]
    source = Source("mutated", ("a", "b"), None, split.without(bad))
    with image_errors(source):
        assert sum(len(labels) for _, labels in eval_dataset(source, 16, 64)) == 500 - len(bad)


def test_without_decoding_only_damage_in_the_middle_is_missed(tmp_path):
    png, jpeg = encode(noise(24, 32), "PNG"), encode(noise(24, 32), "JPEG")
    holed = png[:500] + b"\0" * 400 + png[900:]
    after = jpeg + b"further bytes"  # nothing wrong, and seen only by decoding
    split = files(tmp_path, [png, jpeg, holed, after, png[:-1], jpeg[:-2]])
    assert inspect_split(split, 2, whole=True).bad_places == [2, 4, 5]
    assert inspect_split(split, 2, whole=False).bad_places == [4, 5]


def test_large_sets_are_not_decoded_whole(split, monkeypatch):
    assert inspect_split(split, 2).decoded
    monkeypatch.setattr(inspection, "WHOLE_LIMIT", 3)
    assert not inspect_split(split, 2).decoded
    assert inspect_split(split, 2, whole=True).decoded


def test_a_label_out_of_range_is_found_with_its_value(split):
    for label in (-1, 2, 2**30):
        wrong = FileSplit(split.paths, tf.constant([0, 1, label, *[1] * 7]))
        (bad,) = inspect_split(wrong, 2).bad_images
        assert (bad.place, bad.reason) == (2, f"label {label} is outside 0..1")


def test_a_file_that_vanished_is_found(split):
    before = digests(split)
    os.unlink(split.name_at(1))
    (bad,) = inspect_split(split, 2).bad_images
    assert bad.place == 1 and bad.reason.startswith("cannot be read")
    assert all(a != b for a, b in zip(digests(split), before, strict=True))


def test_a_class_of_which_nothing_is_left_is_named(tmp_path, good):
    whole, *_ = good
    assert inspect_split(files(tmp_path, [whole, b"", whole, b""]), 2).empty_classes == (1,)
    for classes in (2, 3):  # a class that never had an image was not emptied
        split = files(tmp_path, [whole, b"", whole, whole])
        assert inspect_split(split, classes).empty_classes == ()


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """50 records in one shard, and where the 31st lies in it."""
    root = tmp_path_factory.mktemp("shard")
    images = [encode(noise(8, 8, seed), "PNG") for seed in range(50)]
    builder = prepare({"train": images}, root)
    (path,) = root.glob("any_images/1.0.0/*.tfrecord*")
    return builder, path, path.read_bytes().index(images[30])


@pytest.mark.parametrize("damage", ["flipped", "cut", "header"])
def test_of_a_damaged_shard_exactly_the_readable_records_are_left(shard, tmp_path, damage):
    builder, path, at = shard
    split = record_split(builder, "train")
    whole = inspect_split(split, 2)
    before = [key.numpy() for key in split.keys(None)]
    shutil.copy(path, tmp_path / "whole")
    data = bytearray(path.read_bytes())
    try:
        data[0 if damage == "header" else at + 20] ^= 4
        path.write_bytes(data[:at] if damage == "cut" else data)
        found = inspect_split(split, 2)
        readable = 0 if damage == "header" else 30
        assert whole.bad_images == () and whole.fingerprint != found.fingerprint
        assert found.bad_places == list(range(readable, 50))
        assert all(f"record {bad.place} of {path}" == bad.name for bad in found.bad_images)
        if readable:
            rest = split.without(found.bad_places)
            assert rest.size == readable
            assert [key.numpy() for key in rest.keys(None)] == before[:readable]
    finally:
        shutil.copy(tmp_path / "whole", path)


def usable(split, *arguments, **options):
    return check_images({"train": split}, CLASSES, *arguments, **options)


def spoil(split, *places, size=20):
    for place in places:
        os.truncate(split.name_at(place), size)
    return split


def test_of_2000_files_exactly_the_bad_ones_are_lost_and_listed(tmp_path, good, caplog):
    bad = set(range(50, 2000, 100))  # 1 in 100
    contents = [b"" if number in bad else good[number % 10] for number in range(2000)]
    split = files(tmp_path, contents, "{:04d} é\n.png")
    with caplog.at_level(logging.WARNING):
        parts = usable(split, "skip")
    assert "20 of 2000 images of the part 'train' are left out" in caplog.text
    paths = split.files()
    expected = [path for number, path in enumerate(paths) if number not in bad]
    assert parts.splits["train"].files() == expected
    parts.write(tmp_path)
    lines = (tmp_path / "skipped_files.txt").read_text("utf-8").splitlines()
    names = [paths[number].replace("\n", r"\n") for number in sorted(bad)]
    assert lines == [f"train\t{name}\tempty" for name in names]


def test_nothing_bad_changes_nothing_and_lists_nothing(split, tmp_path):
    for mode in ("stop", "skip"):
        parts = usable(split, mode)
        assert parts.splits["train"] is split
        parts.write(tmp_path)
        assert not (tmp_path / "skipped_files.txt").exists()


def test_stop_names_the_first_bad_ones_and_the_remedy(split):
    spoil(split, 2, 3, 4, 6, 7, 8, 9)
    with pytest.raises(DataError) as caught:
        usable(split)
    first, *names, more = str(caught.value).split("\n")
    assert first.startswith(f"{split.name_at(2)}: damaged or cut off")
    assert "7 of 10 images cannot be used" in first and "`on_bad_image`=skip" in first
    listed = [split.name_at(place) for place in (2, 3, 4, 6, 7)]
    assert [name.strip().split(": ")[0] for name in names] == listed
    assert more == "  and 2 more"


def test_more_than_the_fraction_is_refused_by_its_name(split):
    spoil(split, 1, 2)
    assert usable(split, "skip", 0.2).splits["train"].size == 8
    spoil(split, 3)
    message = r"`max_bad_fraction`=0.2 is exceeded: 3 of the 10 .*part 'train'.*\n.*0001.jpg: dam"
    with pytest.raises(DataError, match=message):
        usable(split, "skip", 0.2)


def test_the_fraction_is_of_each_part(split):
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


def test_an_inspection_is_kept_and_not_repeated(split, tmp_path, monkeypatch):
    spoil(split, 4)
    first = usable(split, "skip", 0.2)
    first.write(tmp_path)
    look = Mock(wraps=inspect_split)
    monkeypatch.setattr(inspection, "inspect_split", look)
    again = usable(split, "skip", 0.2, kept=tmp_path)
    assert not look.called and again.inspections == first.inspections
    assert again.splits["train"].files() == first.splits["train"].files()
    os.utime(split.name_at(7), ns=(0, 0))
    found = usable(split, "skip", 0.2, kept=tmp_path).inspections["train"]
    assert found.bad_images == again.inspections["train"].bad_images
    assert look.call_count == 1


def test_a_hasty_inspection_is_not_enough_to_skip(split, tmp_path):
    parts = usable(split)
    hasty = dataclasses.replace(parts.inspections["train"], decoded=False)
    dataclasses.replace(parts, inspections={"train": hasty}).write(tmp_path)
    assert not usable(split, "stop", kept=tmp_path).inspections["train"].decoded
    assert usable(split, "skip", kept=tmp_path).inspections["train"].decoded


def test_a_damaged_inspection_file_costs_another_inspection_and_no_more(split, tmp_path, caplog):
    for content in ("", "[]", "{", '{"train": 3}', '{"train": {"bad": []}}'):
        caplog.clear()
        (tmp_path / "inspection.json").write_text(content)
        assert usable(split, kept=tmp_path).splits["train"] is split
        assert "inspection.json: cannot be used" in caplog.text


def renamed(split):
    os.rename(split.name_at(4), f"{split.name_at(4)}x")
    moved = [path + b"x" * (place == 4) for place, path in enumerate(split.paths.numpy())]
    return FileSplit(tf.constant(moved), split.labels)


@pytest.mark.parametrize(
    ("change", "now"),
    [
        (renamed, "10 of 10, or others"),
        (lambda split: spoil(split, 4, size=5000), "10 of 10, or others"),  # zeros after its end
        (lambda split: spoil(split, 4), "9 of 10"),
        (lambda split: split.without([4, 5]), "8 of 8"),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_is_not_resumed_with_other_images(change, now, kept, split, tmp_path):
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
    copies = [str(shutil.copy(path, tmp_path / "copy")) for path in split.files()]
    usable(FileSplit(tf.constant(copies), split.labels)).check_same(then)


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
    bad = (13, 19, 20)
    records = [b"" if place in bad else good[place % 10] for place in range(40)]
    shards = write_shards(tmp_path, np.array(records, object).reshape(4, 10))
    whole = RecordSplit(40, shards, lambda key: (key, tf.strings.length(key) % 2), 40)
    left = usable(whole, "skip", 0.1).splits["train"]
    assert left.size == 37 and left.kept.sum() == 37
    assert left.without([0, 1]).size == 35
    fixed = [key.numpy() for key in left.keys(None)]
    assert sorted(fixed) == sorted(filter(None, records))
    orders = [[key.numpy() for key in left.keys(order_seed(0, epoch))] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == sorted(fixed) for order in orders)
    source = Source("mine", CLASSES, left, left)
    assert len(list(train_dataset(source, 8, 7, 0, epochs=2))) == 10
