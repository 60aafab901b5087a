"""The graph that is served: images of any size, or files of them, in; named classes out."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.data.ops.color import normalize
from t2t_keras.data.ops.crops import evaluation_crop
from t2t_keras.data.ops.serving_decode import decode_in_graph
from t2t_keras.errors import check
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.images.resize import Size
from t2t_keras.models.structure import HEAD, POOLING, logits_of, parts_of

UNREADABLE = "(unreadable)"  # the class of a file that is no image

# A model's own activation -> the one that turns its logits into probabilities.
_ACTIVATIONS = {"softmax": "softmax", "linear": "softmax", "sigmoid": "sigmoid"}
_IMAGE = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")
_IMAGE_BYTES = tf.TensorSpec((None,), tf.string, name="image_bytes")  # REST decodes *_bytes


def decode_rows(contents: tf.Tensor, target: Size, crop_pct: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes files: (B, height, width, 3) uint8, black where bad; (B,) bool, True where good."""
    count = tf.size(contents, tf.int64)

    def prepare(row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return row, evaluation_crop(decode_in_graph(contents[row]), target, crop_pct)

    # A decoder's error fails the whole graph, except inside tf.data. The row after the last image
    # is for a batch without a single readable one; it is cut off below.
    extra = tf.data.Dataset.from_tensors((count, tf.zeros((*target, 3), tf.uint8)))
    options = tf.data.Options()
    # These pay off in a long pipeline alone, and would be repeated for every request.
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    dataset = (
        tf.data.Dataset.range(count)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
        .ignore_errors()
        .concatenate(extra)
        .batch(count + 1)
        .with_options(options)
    )
    rows, pixels = dataset.get_single_element()
    rows = rows[:, None]
    readable = tf.scatter_nd(rows, tf.ones_like(rows[:, 0], tf.bool), (count + 1,))
    pixels = tf.scatter_nd(rows, pixels, (count + 1, *target, 3))
    return pixels[:-1], readable[:-1]


def check_classifier(model: keras.Model, class_names: Sequence[str]) -> None:
    """Raises a ValueError where a model is no classifier of this package for these classes."""
    layers = {layer.name for layer in model.layers}
    complete = {POOLING, HEAD} <= layers and len(model.output_shape) == 2
    given = f"{model.name} with the outputs {model.output_shape}"
    expected = "a T2T-ViT of this package with its classifier (include_top=True)"
    check(complete, "model", given, expected)
    activation, expected = _own_activation(model), "softmax, sigmoid or None in an exported model"
    check(activation in _ACTIVATIONS, "classifier_activation", activation, expected)
    count, classes = len(class_names), model.output_shape[-1]
    expected = f"the names of the model's {classes} classes"
    check(count == classes, "class_names", f"{count} names", expected)
    for name in class_names:
        one_line = bool(name) and len(name.splitlines()) == 1
        check(one_line, "class_names", f"[..., {name!r}, ...]", "one line of text each")


def activation_of(model: keras.Model) -> str:
    """Returns the activation of a model's probabilities: its own, or softmax where that is None."""
    return _ACTIVATIONS[_own_activation(model)]


def _own_activation(model: keras.Model) -> str:
    activation = model.get_layer(HEAD).activation
    return getattr(activation, "__name__", str(activation))


def features_and_logits(model: keras.Model) -> keras.Model:
    """Returns a model, in float32, from normalized images to class tokens and logits."""
    if any(layer.compute_dtype != "float32" for layer in model.layers):
        copy = keras.models.clone_model(
            model,
            clone_function=lambda each: each.from_config({**each.get_config(), "dtype": "float32"}),
        )
        copy.set_weights(model.get_weights())
        model = copy
    parts = parts_of(model)
    return keras.Model(model.input, [parts.pooling.output, logits_of(parts)])


class Classifier(tf.Module):
    """A graph from images to named classes.

    A model for images of a fixed size gets them resized and cropped as in the evaluation, with the
    pixels of `load_image` but for rounding. One that takes any size gets images as they are, and
    files of them at `preprocessing.image_size`. Everything is computed in float32.

    Args:
        model: A T2T-ViT of this package, with its classifier. Its own activation makes the
            probabilities, or softmax where that is None.
        class_names: Names of its classes, in the order of its outputs.
        labels_file: A file with one of these names a line; becomes part of the SavedModel.
        preprocessing: The preprocessing, with its image size known.
        top: Number of classes that are named, the most probable ones, from 1 up to all.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        labels_file: Path,
        preprocessing: Preprocessing,
        top: int,
    ):
        super().__init__()
        network = features_and_logits(model)
        # Not the network itself: TensorFlow would save a graph of it beside those that are served.
        self.weights = [weight.value for weight in network.weights]
        self.labels = tf.saved_model.Asset(os.fspath(labels_file))
        self._class_names = list(class_names)
        self._preprocessing = preprocessing
        self._activation = keras.activations.get(activation_of(model))
        self._any_size = None in model.input_shape[1:3]
        self._top = top
        pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

        def run(images: tf.Tensor) -> list[tf.Tensor]:
            # TensorFlow's convolutions fail on an empty batch where oneDNN does them.
            count = tf.shape(images)[0]
            extra = tf.cast(count == 0, tf.int32)
            filled = tf.pad(images, [[0, extra], [0, 0], [0, 0], [0, 0]])
            filled = tf.ensure_shape(filled, pixels.shape)
            return [rows[:count] for rows in network(filled, training=False)]

        self._run = tf.function(run, input_signature=[pixels])  # one graph for all signatures

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Returns name -> function, as `tf.saved_model.save` takes them."""
        return {
            "serving_default": self.classify_images,
            "serving_image_bytes": self.classify_files,
            "features": self.describe_images,
        }

    @tf.function(input_signature=[_IMAGE])
    def classify_images(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies images.

        Args:
            image: (B, H, W, 3) float32 RGB in 0..255.

        Returns:
            `classes` (B, K) string and `probabilities` (B, K) float32, the most probable first,
            and `logits` (B, C) float32 of all classes in the order of the labels.
        """
        return self._named(self._outputs(self._resized(image))[1])

    @tf.function(input_signature=[_IMAGE_BYTES])
    def classify_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images, of which some may be damaged.

        Args:
            image_bytes: (B,) string: files of JPEG, PNG, GIF (first frame), 24-bit BMP or WebP.

        Returns:
            The outputs of `classify_images`, and `ok` (B,) bool. A file that cannot be read, or
            declares too many pixels, has `ok` false, the class `UNREADABLE` K times and zeros
            for numbers (JSON has no NaN); the others are as they would be without it.
        """
        files = tf.ensure_shape(image_bytes, (None,))  # nobody else checks a request's shape
        size, crop_pct = self._preprocessing.size, self._preprocessing.crop_pct
        pixels, readable = decode_rows(files, size, crop_pct)
        named = self._named(self._outputs(pixels)[1])
        instead = {"classes": UNREADABLE, "probabilities": 0.0, "logits": 0.0}
        rows = {
            name: tf.where(readable[:, None], values, tf.constant(instead[name], values.dtype))
            for name, values in named.items()
        }
        return {**rows, "ok": readable}

    @tf.function(input_signature=[_IMAGE])
    def describe_images(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes `features`, the (B, D) float32 class tokens, of images as `classify_images`."""
        return {"features": self._outputs(self._resized(image))[0]}

    def _outputs(self, pixels: tf.Tensor) -> list[tf.Tensor]:
        """Features and logits of images of a size that the model takes."""
        normalized = normalize(pixels, self._preprocessing.mean, self._preprocessing.std)
        return self._run(normalized)

    def _resized(self, image: tf.Tensor) -> tf.Tensor:
        """Images resized and cropped to (B, height, width, 3) uint8, or as they are."""
        image = tf.ensure_shape(image, (None, None, None, 3))
        if self._any_size:
            return image
        size, crop_pct = self._preprocessing.size, self._preprocessing.crop_pct
        return tf.map_fn(
            lambda each: evaluation_crop(each, size, crop_pct),
            image,
            fn_output_signature=tf.TensorSpec((*size, 3), tf.uint8),
        )

    def _named(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities, indices = tf.math.top_k(self._activation(logits), k=self._top)
        names = tf.gather(tf.constant(self._class_names), indices)
        return {"classes": names, "probabilities": probabilities, "logits": logits}
