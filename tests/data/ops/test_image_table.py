"""The table in docs/images.md, row by row."""

import re

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.serving_decode import decode_in_graph
from t2t_keras.errors import DataError
from t2t_keras.images.constants import MAX_PIXELS, MAX_SIDE, MEAN_COLOR
from t2t_keras.images.decode import decode_rgb
from tests.support.images import pillow_kinds, readable_kinds, unreadable_kinds
from tests.support.running import ROOT

KINDS = {**readable_kinds(), **pillow_kinds(), **unreadable_kinds()}
TEXT = (ROOT / "docs" / "images.md").read_text("utf-8")
ROWS = [re.split(r" *\| *", line)[1:4] for line in TEXT.splitlines() if line.startswith("| ")][1:]
FILES = """
jpeg jpeg_gray jpeg_progressive; jpeg_cmyk; jpeg_cmyk_unmarked; jpeg_orientation_6 png_exif_turned;
jpeg_exif_after_an_empty_one_turned jpeg_xmp_turned; png png_gray png_one_bit png_palette;
png_sixteen_bit; png_alpha png_palette_transparent webp_alpha;
png_xmp_compressed_turned png_profile_turned; png_ios; webp webp_lossless; webp_exif_turned;
webp_animated webp_animated_opaque; gif gif_animated gif_off_its_screen; gif_transparent;
gif_two_controls; bmp;
bmp_gray bmp_palette bmp_alpha; tiff tiff_exif_turned tiff_cmyk; tiff_floats; cut_jpeg cut_png;
bomb_png bomb_jpeg bomb_gif png_long_row
"""


@pytest.mark.parametrize(
    ("row", "names"), list(zip(ROWS, FILES.split(";"), strict=True)), ids=[row[0] for row in ROWS]
)
def test_a_row_is_what_the_code_does(row, names):
    for name in names.split():
        data, shapes = KINDS[name], set()
        for decode, cell in (
            (decode_rgb, row[1]),
            (decode_image, row[1]),
            (decode_in_graph, row[2]),
        ):
            if cell == "refused":
                with pytest.raises((DataError, tf.errors.InvalidArgumentError)):
                    decode(data)
            else:
                shapes.add(np.shape(decode(data)))
            assert cell != "turned" or shapes == {(80, 60, 3)}


def test_its_numbers_are_the_codes():
    assert str(MEAN_COLOR) in TEXT and all(f"{most:,}" in TEXT for most in (MAX_PIXELS, MAX_SIDE))
