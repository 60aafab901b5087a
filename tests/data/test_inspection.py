import itertools
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data import inspection
from t2t_keras.data.inspection import fingerprint, inspect_split
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.pipeline import eval_dataset, image_errors
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import FileSplit
from t2t_keras.data.sources.tfds import record_split
from t2t_keras.images import read_rgb
from tests.support.any_images import prepare
from tests.support.images import encode, noise, readable_kinds, unreadable_kinds

READABLE, UNREADABLE = readable_kinds(), unreadable_kinds()
KINDS = {**READABLE, **UNREADABLE}


def files(folder, contents):
    """A split of files with these contents, labeled 0 and 1 in turn."""
    paths = [folder / f"{number:04d}.jpg" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    labels = tf.range(len(contents)) % 2
    return FileSplit(tf.constant([os.fsencode(path) for path in paths]), labels)


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
        for kind in ("text", "html", "tiff"):
            assert reasons[kind] == "no JPEG, PNG, WebP, GIF or BMP"
        for kind in ("cut_jpeg", "cut_png", "jpeg_header_only"):
            assert reasons[kind].startswith("damaged or cut off")
        for kind in ("bomb_png", "bomb_jpeg", "bomb_gif", "gif_like_a_webp"):
            assert reasons[kind] == "declares more than 64,000,000 pixels"


def test_every_readable_kind_has_the_same_pixels_from_files_and_from_records(
    of_every_kind, tmp_path
):
    count = len(READABLE)
    names = {"files": f"{count:04d}.jpg", "records": f"record {count} of "}
    for way, split in of_every_kind.items():
        bad = inspect_split(split, 2).bad_images
        assert names[way] in bad[0].name
        rest = split.without([image.place for image in bad])
        read = [[part.numpy() for part in rest.read(key)] for key in rest.keys(None)]
        assert [label for _, label in read] == [number % 2 for number in range(count)]
        for (contents, _), (kind, data) in zip(read, READABLE.items(), strict=True):
            (tmp_path / kind).write_bytes(data)
            np.testing.assert_array_equal(decode_image(contents), read_rgb(tmp_path / kind))


def test_of_mutated_files_exactly_those_are_found_that_training_could_not_read(tmp_path):
    rng = np.random.default_rng(7)
    whole = [encode(noise(24, 32, seed), kind) for seed in range(5) for kind in ("JPEG", "PNG")]
    mutated = []
    for number in range(500):
        data = bytearray(whole[number % len(whole)])
        for at in rng.integers(0, len(data), rng.integers(1, 9)):
            data[at] = rng.integers(0, 256)
        end = len(data) if number % 3 else rng.integers(0, len(data) + 1)
        mutated.append(bytes(data[:end]))
    split = files(tmp_path, mutated)
    bad = inspect_split(split, 2).bad_images
    assert 100 < len(bad) < 450
    assert {image.name for image in bad} <= {str(path) for path in tmp_path.iterdir()}
    assert all(image.name == split.called(image.place) for image in bad)
    rest = split.without([image.place for image in bad])
    source = Source("mutated", ("a", "b"), None, rest)
    with image_errors():
        assert sum(len(labels) for _, labels in eval_dataset(source, 16, 64)) == 500 - len(bad)


def test_without_decoding_only_damage_in_the_middle_is_missed(tmp_path):
    png, jpeg = encode(noise(24, 32), "PNG"), encode(noise(24, 32), "JPEG")
    holed = png[:500] + b"\0" * 400 + png[900:]
    behind = jpeg + b"further bytes"  # nothing wrong, and seen only by decoding
    split = files(tmp_path, [png, jpeg, holed, behind, png[:-1], jpeg[:-2]])
    assert [bad.place for bad in inspect_split(split, 2, whole=True).bad_images] == [2, 4, 5]
    assert [bad.place for bad in inspect_split(split, 2, whole=False).bad_images] == [4, 5]


def test_large_sets_are_not_decoded_whole(tmp_path, monkeypatch):
    split = files(tmp_path, [encode(noise(8, 8), "PNG")] * 4)
    assert inspect_split(split, 2).decoded
    monkeypatch.setattr(inspection, "WHOLE_LIMIT", 3)
    assert not inspect_split(split, 2).decoded
    assert inspect_split(split, 2, whole=True).decoded


def test_a_label_out_of_range_is_found_with_its_value(tmp_path):
    split = files(tmp_path, [encode(noise(8, 8), "PNG")] * 4)
    for label in (-1, 2, 2**30):
        wrong = FileSplit(split.paths, tf.constant([0, 1, label, 1]))
        (bad,) = inspect_split(wrong, 2).bad_images
        assert (bad.place, bad.reason) == (2, f"label {label} is outside 0..1")


def test_a_file_that_vanished_is_found(tmp_path):
    split = files(tmp_path, [encode(noise(8, 8), "PNG")] * 3)
    before = fingerprint(split)
    os.unlink(split.called(1))
    (bad,) = inspect_split(split, 2).bad_images
    assert bad.place == 1 and bad.reason.startswith("cannot be read")
    assert fingerprint(split) != before


def test_a_class_of_which_nothing_is_left_is_said(tmp_path):
    good = encode(noise(8, 8), "PNG")
    assert inspect_split(files(tmp_path, [good, b"", good, b""]), 2).empty_classes == (1,)
    assert inspect_split(files(tmp_path, [good, b"", good, good]), 2).empty_classes == ()
    # A class that never had an image is none that was emptied.
    assert inspect_split(files(tmp_path, [good, b"", good, good]), 3).empty_classes == ()


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
