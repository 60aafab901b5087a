import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from t2t_keras.errors import DataError
from t2t_keras.images import IMAGENET_MEAN, IMAGENET_STD, load_image, preprocess_input
from t2t_keras.images.resize import resize_and_crop
from tests.support.images import encode, noise


def _expected(x):
    return (x.astype("float64") / 255 - IMAGENET_MEAN) / IMAGENET_STD


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7)])
def test_arrays_and_tensors_are_normalized_and_left_alone(dtype, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(dtype)
    for x in (pixels.copy(), keras.ops.convert_to_tensor(pixels)):
        result = preprocess_input(x)
        assert type(result) is type(x)
        assert keras.backend.standardize_dtype(result.dtype) == "float32"
        np.testing.assert_allclose(result, _expected(pixels), atol=1e-6)
        np.testing.assert_array_equal(x, pixels)


def test_channels_first_is_the_same_numbers():
    x = noise(5, 7)
    result = preprocess_input(x.transpose(2, 0, 1), data_format="channels_first")
    np.testing.assert_allclose(result.transpose(1, 2, 0), _expected(x), atol=1e-6)


def test_it_is_a_step_of_a_functional_model():
    inputs = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(inputs, preprocess_input(inputs))
    x = noise(4, 6)[None]
    np.testing.assert_allclose(model.predict(x, verbose=0), _expected(x), atol=1e-6)


LAST = "RGB images with channels last. Received: x.shape="


@pytest.mark.parametrize(
    ("shape", "data_format", "message"),
    [
        *((shape, None, LAST) for shape in ((4, 4), (4, 4, 1), (2, 4, 4, 4), (3, 4, 4))),
        ((4, 4, 3), "channels_first", r"channels first. Received: x.shape=\(4, 4, 3\)"),
        ((4, 4, 3), "NHWC", "Received: data_format=NHWC"),
    ],
)
def test_what_is_not_rgb_is_refused(shape, data_format, message):
    with pytest.raises(ValueError, match=message):
        preprocess_input(np.zeros(shape), data_format=data_format)


def test_load_image_decodes_resizes_and_crops(tmp_path):
    photo = load_sample_image("china.jpg")
    path = tmp_path / "china.png"
    path.write_bytes(encode(photo, "PNG"))
    image = load_image(path)
    assert image.shape == (224, 224, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, resize_and_crop(photo, (224, 224), 0.9))
    assert load_image(str(path), image_size=(96, 160), crop_pct=1.0).shape == (96, 160, 3)


def test_load_image_checks_its_arguments_before_the_file(tmp_path):
    path = tmp_path / "missing.jpg"
    for wrong in ("image_size", "crop_pct"):
        with pytest.raises(ValueError, match=f"Received: {wrong}=-1"):
            load_image(path, **{wrong: -1})
    with pytest.raises(DataError, match=r"missing.jpg: no such image file"):
        load_image(path)
