import numpy as np
import pytest

from t2t_keras.data.ops.seeds import Shard
from t2t_keras.data.pipeline import eval_dataset, train_dataset
from t2t_keras.data.settings import Augmentation, MixupConfig, RandomErasingConfig
from t2t_keras.data.sources.source import open_source
from t2t_keras.training.inputs import padded

EVERYTHING = Augmentation(
    mixing=MixupConfig(), erasing=RandomErasingConfig(probability=0.5), smoothing=0.1
)
STEP = {"batch_size": 12, "seed": 3, "epochs": 2, "augmentation": EVERYTHING, "start_step": 1}


@pytest.fixture(scope="module")
def source(folder):
    return open_source(folder)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_are_shared_out_in_pairs_that_mirror_each_other(count):
    shares = [Shard(index, count).rows(12) for index in range(count)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(12))
    for rows in shares:
        assert len(rows) == 12 // count
        np.testing.assert_array_equal(rows[::-1], 11 - rows)


def test_the_shares_of_a_training_batch_are_the_batch(source):
    (images, targets), *_ = train_dataset(source, 16, **STEP).as_numpy_iterator()
    for share in (Shard(0, 3), Shard(2, 3)):
        (own, own_targets), *_ = train_dataset(source, 16, **STEP, shard=share).as_numpy_iterator()
        rows = share.rows(12)
        np.testing.assert_array_equal(own, images[rows])
        np.testing.assert_array_equal(own_targets, targets[rows])


@pytest.mark.parametrize("batch_size", [4, 8])
def test_the_shares_of_an_evaluation_hold_each_image_once(batch_size, source):
    whole = np.concatenate([images for images, _ in eval_dataset(source, 16, 8)])
    found, weights, steps = [], 0.0, -(-len(whole) // batch_size)
    for share in (Shard(0, 2), Shard(1, 2)):
        batches = eval_dataset(source, 16, batch_size, shard=share)
        full = list(padded(batches, batch_size, len(whole), share).as_numpy_iterator())
        assert [len(images) for images, *_ in full] == [batch_size // 2] * steps
        for images, _, counted in full:
            found.extend(images[counted > 0])
            weights += counted.sum()
    assert len(found) == len(whole) == 5
    for image in whole:
        assert any(np.array_equal(image, other) for other in found)
    assert weights == pytest.approx(steps * batch_size)


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 1)])
def test_a_share_that_is_none_is_refused(index, count):
    with pytest.raises(ValueError, match=f"Received: index={index}"):
        Shard(index, count)


def test_a_batch_that_has_no_pairs_for_all_is_refused(source):
    with pytest.raises(ValueError, match="multiple of 4, twice the number.*batch_size=6"):
        train_dataset(source, 16, 6, 3, epochs=1, shard=Shard(0, 2))
