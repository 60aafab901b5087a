import pytest

from t2t_keras.export import Preprocessing


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": (0, 32)}, "`image_size` must be"),
        ({"crop_pct": 1.1}, r"`crop_pct` must be in \(0, 1\]"),
        ({"mean": (0.5, 0.5)}, "`mean` must be three numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "`std` must be three numbers"),
    ],
)
def test_a_setting_out_of_range_is_said(fields, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)
