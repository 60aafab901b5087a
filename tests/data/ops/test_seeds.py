import itertools

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.seeds import Shard, batch_seed, order_seed, split_seed


def test_seeds_differ_by_every_argument_and_by_purpose():
    seeds = [order_seed(s, e) for s in (0, 1) for e in range(5)]
    seeds += [batch_seed(s, e, i) for s in (0, 1) for e in range(5) for i in range(20)]
    assert all(seed.shape == (2,) and seed.dtype == tf.int64 for seed in seeds)
    assert len({tuple(seed.numpy()) for seed in seeds}) == len(seeds)


def test_neighboring_seeds_draw_independently():
    seeds = itertools.product(range(2), range(10), range(50))
    draws = [tf.random.stateless_uniform((), batch_seed(*each)).numpy() for each in seeds]
    draws = np.array(draws).reshape(2, 10, 50)
    assert abs(draws.mean() - 0.5) < 0.03
    for axis in range(3):
        first, second = np.moveaxis(draws, axis, 0)[:2]
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.3


def test_a_split_seed_is_as_many_new_ones():
    parent = batch_seed(1, 2, 3)
    children = split_seed(parent, 3)
    assert len({tuple(seed.numpy()) for seed in (*children, parent)}) == 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_are_divided_in_pairs_that_mirror_each_other(count):
    shards = [Shard(index, count).rows(12) for index in range(count)]
    assert sorted(np.concatenate(shards).tolist()) == list(range(12))
    for rows in shards:
        assert len(rows) == 12 // count
        np.testing.assert_array_equal(rows[::-1], 11 - rows)


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 1)])
def test_a_shard_out_of_range_is_refused(index, count):
    with pytest.raises(ValueError, match=f"Received: index={index}"):
        Shard(index, count)
