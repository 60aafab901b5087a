import keras
import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import RecordSplit
from t2t_keras.training import inputs as module
from t2t_keras.training import make_config
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.inputs import add_weights, balanced_weights, cache_if_small, pad_last_batch


def labeled(count, batch_size):
    images = np.arange(count * 12, dtype=np.float32).reshape(count, 2, 2, 3)
    targets = np.eye(4, dtype=np.float32)[np.arange(count) % 4]
    return tf.data.Dataset.from_tensor_slices((images, targets)).batch(batch_size)


def test_all_records_are_suspected_once():
    source = Source("mine", ("a", "b"), RecordSplit(8, (), len, 8), RecordSplit(3, (), len, 8))
    config = make_config(dataset="mine", image_size=32, batch_size=2)
    suspects = module.next_images(config, source, RunState(4, (0.1,)))
    assert [*suspects] == [source.train_split, source.eval_split]


@pytest.mark.parametrize("count", [1, 7, 8])
def test_all_batches_are_full_and_fillers_weigh_nothing(count):
    full = pad_last_batch(labeled(count, 4), 4, count)
    images, targets, weights = (np.concatenate(part) for part in zip(*full, strict=True))
    assert len(images) == len(targets) == len(weights) == -(-count // 4) * 4
    assert not weights[count:].any() and not images[count:].any()
    assert weights.sum() == pytest.approx(len(weights))
    assert full.element_spec[0].shape == (4, 2, 2, 3)


def test_loss_and_accuracy_of_a_ragged_set_are_exact():
    keras.utils.set_random_seed(1)
    head = keras.layers.Dense(4)
    model = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten(), head])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])
    targets = labeled(7, 4)
    got = model.evaluate(pad_last_batch(targets, 4, 7), verbose=0, return_dict=True)
    images, wanted = (np.concatenate(part) for part in zip(*targets, strict=True))
    logits = model.predict(images, verbose=0)
    assert got["loss"] == pytest.approx(float(loss(wanted, logits)), rel=1e-5)
    assert got["accuracy"] == pytest.approx((logits.argmax(1) == wanted.argmax(1)).mean())


def test_a_small_set_is_read_once(monkeypatch):
    reads = []

    def read():
        reads.append(1)
        yield from np.arange(6, dtype=np.float32).reshape(3, 2)

    def pipeline():
        source = tf.data.Dataset.from_generator(read, output_signature=tf.TensorSpec((2,)))
        both = tf.data.Dataset.zip((source, source))
        return both.apply(tf.data.experimental.assert_cardinality(3))

    kept = cache_if_small(pipeline())
    for _ in range(3):
        assert [first.numpy().tolist() for first, _ in kept] == [[0, 1], [2, 3], [4, 5]]
    assert len(reads) == 2
    monkeypatch.setattr(module, "_MEMORY", 3 * 16 - 1)
    large = pipeline()
    assert cache_if_small(large) is large


def test_rare_classes_count_as_much_as_frequent_ones():
    labels = np.array([0] * 6 + [2] * 2)
    weights = balanced_weights(labels, 4)
    np.testing.assert_allclose(weights, [8 / 12, 1.0, 8 / 4, 1.0])
    targets = np.array([[1, 0, 0, 0], [0.25, 0, 0.75, 0]], np.float32)
    batches = tf.data.Dataset.from_tensors((np.zeros((2, 3)), targets))
    ((_, _, found),) = add_weights(batches, weights).as_numpy_iterator()
    np.testing.assert_allclose(found, [2 / 3, 1 / 6 + 1.5], rtol=1e-6)
    smoothed = batches.map(lambda inputs, targets: (inputs, 0.9 * targets + 0.1 / 4))
    ((_, _, same),) = add_weights(smoothed, weights, 0.1).as_numpy_iterator()
    np.testing.assert_allclose(same, found, rtol=1e-6)
