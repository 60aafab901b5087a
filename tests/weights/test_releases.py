import re

import pytest

from t2t_keras.variants import VARIANTS
from t2t_keras.weights.releases import RELEASES, RELEASES_URL, imagenet_release

RELEASED = {f"t2t_vit_{depth}" for depth in (7, 10, 12, 14, 19, 24)}
RELEASED |= {f"t2t_vit_t_{depth}" for depth in (14, 19, 24)}


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_has_its_release_or_says_that_there_is_none(variant):
    if variant in RELEASED:
        release = imagenet_release(variant, (224, 224))
        name = variant.replace("t2t_vit_t", "T2T_ViTt").replace("t2t_vit", "T2T_ViT")
        assert release.filename == f"{release.top1:.1f}_{name}.pth.tar"
        assert (release.variant, release.image_size, release.classes) == (variant, 224, 1000)
    else:
        with pytest.raises(ValueError, match=f"no `imagenet` weights for `{variant}`") as caught:
            imagenet_release(variant, (224, 224))
        assert "weights=None" in str(caught.value)
        assert all(name in str(caught.value) for name in RELEASED)


@pytest.mark.parametrize(
    ("image_size", "side"),
    [((384, 384), 384), ((224, 224), 224), ((384, 224), 224), ((512, 512), 224)]
    + [((None, None), 224), ([384, 384], 384)],
)
def test_only_384_by_384_takes_the_weights_of_that_size(image_size, side):
    assert imagenet_release("t2t_vit_14", image_size).image_size == side
    assert imagenet_release("t2t_vit_19", image_size).image_size == 224


def test_rows_are_sane_files_differ_and_one_is_pinned():
    assert len(RELEASES) == len({release.filename for release in RELEASES}) == 15
    assert RELEASES_URL.startswith("https://") and RELEASES_URL.endswith("/")
    for release in RELEASES:
        assert release.variant in VARIANTS
        assert re.fullmatch(r"[\w.-]+\.pth(\.tar)?", release.filename)
        assert 70 < release.top1 < (release.top5 or 100) <= 100
        assert release.sha384 is None or re.fullmatch("[0-9a-f]{96}", release.sha384)
    pinned = imagenet_release("t2t_vit_14")  # whose digest is published
    assert pinned.size == 86_212_823
    assert pinned.sha384.startswith("98c8ae06a1e9997f") and pinned.sha384.endswith("caeaf7a1")
