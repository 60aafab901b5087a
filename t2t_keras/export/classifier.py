"""The graph that is served: images of any size or files of them in, named classes out."""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.data.ops.crops import evaluation_crop
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.normalize import normalize
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.images.resize import Size


def decode_rows(contents: tf.Tensor, target: Size, crop_pct: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes, resizes and crops a batch of files, each on its own.

    Args:
        contents: (B,) string; B may be 0.
        target: (height, width) in pixels.
        crop_pct: Fraction of the resized side that the evaluation's crop keeps, in (0, 1].

    Returns:
        (B, height, width, 3) uint8, and (B,) bool: whether the image could be read. A row that
        could not is black.
    """
    count = tf.size(contents, tf.int64)

    def prepare(place):
        return place, evaluation_crop(decode_image(contents[place]), target, crop_pct)

    # A decoder's error fails the whole graph, but for one inside tf.data. The row behind the last
    # image is there for a batch without a single good one; it is cut off below.
    behind = tf.data.Dataset.from_tensors((count, tf.zeros((*target, 3), tf.uint8)))
    rows = (
        tf.data.Dataset.range(count)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
        .ignore_errors()
        .concatenate(behind)
        .batch(count + 1)
        .with_options(_for_one_request())
    )
    places, pixels = rows.get_single_element()
    places = places[:, None]
    readable = tf.scatter_nd(places, tf.ones_like(places[:, 0], tf.bool), (count + 1,))
    pixels = tf.scatter_nd(places, pixels, (count + 1, *target, 3))
    return pixels[:-1], readable[:-1]


def _for_one_request() -> tf.data.Options:
    """Leaves out what pays in a long pipeline alone, and would be done for every request."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options


# A model's own activation -> what makes probabilities of its logits.
ACTIVATIONS = {"softmax": "softmax", "linear": "softmax", "sigmoid": "sigmoid"}
UNREADABLE = "(unreadable)"  # the class of a file that is no image
_POOLING, _HEAD, _ACTIVATION = "pooling", "head", "predictions"

_IMAGE = tf.TensorSpec((None, None, None, 3), tf.float32, name="image")
_IMAGE_BYTES = tf.TensorSpec((None,), tf.string, name="image_bytes")  # REST decodes *_bytes


def check_classifier(model: keras.Model, class_names: Sequence[str]) -> None:
    """Raises a ValueError where a model is no classifier of this package, of these classes."""
    names = {layer.name for layer in model.layers}
    if not {_POOLING, _HEAD, _ACTIVATION} <= names or len(model.output_shape) != 2:
        raise ValueError(
            "`model` must be a T2T-ViT of this package with its classifier (include_top=True). "
            f"Received: model={model.name} with the outputs {model.output_shape}"
        )
    if (own := _own_activation(model)) not in ACTIVATIONS:
        raise ValueError(
            "`model` must have classifier_activation softmax, sigmoid or None to be exported. "
            f"Received: classifier_activation={own}"
        )
    if len(class_names) != model.output_shape[-1]:
        raise ValueError(
            f"`class_names` must hold the names of the model's {model.output_shape[-1]} classes. "
            f"Received: {len(class_names)} names"
        )
    for name in class_names:
        if not name or len(name.splitlines()) != 1:
            raise ValueError(
                f"`class_names` must hold one line of text each. Received: the name {name!r}"
            )


def activation_of(model: keras.Model) -> str:
    """Keras' name of what makes probabilities of a model's logits: "softmax" or "sigmoid".

    It is the model's own; where that is None, and the model gives logits, it is softmax.
    """
    return ACTIVATIONS[_own_activation(model)]


def _own_activation(model: keras.Model) -> str:
    activation = model.get_layer(_ACTIVATION).activation
    return getattr(activation, "__name__", str(activation))


def features_and_logits(model: keras.Model) -> keras.Model:
    """Normalized images -> the class token (B, D) and what the classifier makes of it (B, C).

    Both are computed in float32, whatever the model was trained in.
    """
    model = _in_float32(model)
    outputs = [model.get_layer(name).output for name in (_POOLING, _HEAD)]
    return keras.Model(model.input, outputs)


def _in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or one with its weights that computes without half precision."""
    policies = [layer.dtype_policy for layer in model.layers]
    half = {policy.name for policy in policies if policy.compute_dtype in ("float16", "bfloat16")}
    if not half:
        return model
    architecture = model.to_json()
    for name in half:
        architecture = architecture.replace(f'"{name}"', '"float32"')
    twin = keras.models.model_from_json(architecture)
    twin.set_weights(model.get_weights())
    return twin


class Classifier(tf.Module):
    """From images to named classes, all inside the graph.

    A model for images of a fixed size gets them resized and cropped as the evaluation does it,
    pixel by pixel as `load_image` but for rounding. One that takes any size gets images as they
    are, and files of them at `preprocessing.image_size`. All is computed in float32.

    Args:
        model: A T2T-ViT of this package, with its classifier; `activation_of` says how its logits
            become probabilities.
        class_names: Its classes' names, in the order of its outputs.
        labels_file: A file with one of these names a line; becomes part of the SavedModel.
        preprocessing: With its image size known.
        top: How many of the likeliest classes are named, from 1 up to all.
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
        # One graph for all signatures.
        pixels = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

        def run(images):
            # TensorFlow's convolutions fail on an empty batch where oneDNN does them.
            count = tf.shape(images)[0]
            alone = tf.cast(count == 0, tf.int32)
            filled = tf.pad(images, [[0, alone], [0, 0], [0, 0], [0, 0]])
            filled = tf.ensure_shape(filled, pixels.shape)
            return [rows[:count] for rows in network(filled, training=False)]

        self._run = tf.function(run, input_signature=[pixels])

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Name -> function, as `tf.saved_model.save` takes them."""
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
            `classes` (B, K) string and `probabilities` (B, K) float32, the likeliest first, and
            `logits` (B, C) float32 of all classes in the order of the labels.
        """
        return self._named(self._outputs(self._fitted(image))[1])

    @tf.function(input_signature=[_IMAGE_BYTES])
    def classify_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images, of which some may be damaged.

        Args:
            image_bytes: (B,) string: files of JPEG, PNG, GIF (first frame), 24-bit BMP or WebP.

        Returns:
            What `classify_images` does, and `ok` (B,) bool. A file that cannot be read, or
            declares too many pixels, has `ok` false, the class `UNREADABLE` K times and zeros
            for numbers (JSON has no NaN); the others are as they would be without it.
        """
        files = tf.ensure_shape(image_bytes, (None,))  # nobody else looks at a request's shape
        size, crop_pct = self._preprocessing.image_size, self._preprocessing.crop_pct
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
        """(B, H, W, 3) float32 RGB in 0..255 -> `features` (B, D) float32: the class token."""
        return {"features": self._outputs(self._fitted(image))[0]}

    def _outputs(self, pixels: tf.Tensor) -> list[tf.Tensor]:
        """Features and logits of images of a size that the model takes."""
        normalized = normalize(pixels, self._preprocessing.mean, self._preprocessing.std)
        return self._run(normalized)

    def _fitted(self, image: tf.Tensor) -> tf.Tensor:
        """Resized and cropped to (B, height, width, 3) uint8, or as they are."""
        image = tf.ensure_shape(image, (None, None, None, 3))
        if self._any_size:
            return image
        size, crop_pct = self._preprocessing.image_size, self._preprocessing.crop_pct
        return tf.map_fn(
            lambda each: evaluation_crop(each, size, crop_pct),
            image,
            fn_output_signature=tf.TensorSpec((*size, 3), tf.uint8),
        )

    def _named(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities, places = tf.math.top_k(self._activation(logits), k=self._top)
        names = tf.gather(tf.constant(self._class_names), places)
        return {"classes": names, "probabilities": probabilities, "logits": logits}
