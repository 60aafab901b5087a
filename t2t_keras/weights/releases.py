"""The authors' released files: the variant, sizes and figures of each, and how to recognize it.

The files are under the Clear BSD license, as the authors' code is. For one of them a size and
digest are published by a third party (OpenVINO's model zoo); for the others there are none, so a
download is checked by its structure and remembered by its own digest (see `download`).
"""

from dataclasses import dataclass

RELEASES_URL = "https://github.com/yitu-opensource/T2T-ViT/releases/download/main/"


@dataclass(frozen=True)
class Release:
    """One released checkpoint, with its published or independently measured accuracy in percent."""

    variant: str
    filename: str
    top1: float
    top5: float | None = None
    tag: str = "imagenet"  # the training task
    image_size: int = 224
    classes: int = 1000
    crop_pct: float = 0.9  # fraction of the resized side that evaluation keeps
    statistics: str = "imagenet"
    size: int | None = None
    sha384: str | None = None


def _cifar(variant: str, filename: str, classes: int, top1: float) -> Release:
    # These were evaluated on whole images, resized.
    tag = f"cifar{classes}"
    return Release(
        variant, filename, top1, tag=tag, classes=classes, crop_pct=1.0, statistics="cifar"
    )


RELEASES = (
    Release("t2t_vit_7", "71.7_T2T_ViT_7.pth.tar", 71.676, 90.886),
    Release("t2t_vit_10", "75.2_T2T_ViT_10.pth.tar", 75.150, 92.806),
    Release("t2t_vit_12", "76.5_T2T_ViT_12.pth.tar", 76.480, 93.484),
    Release(
        "t2t_vit_14",
        "81.5_T2T_ViT_14.pth.tar",
        top1=81.500,
        top5=95.666,
        size=86_212_823,
        sha384="98c8ae06a1e9997f3e83ad2dfbac49985bf7bd7723eb64e4b8462338163be026"
        "57998f0bd9f8997367417003caeaf7a1",
    ),
    Release("t2t_vit_14", "83.3_T2T_ViT_14.pth.tar", 83.34, 96.50, image_size=384, crop_pct=1.0),
    Release("t2t_vit_19", "81.9_T2T_ViT_19.pth.tar", 81.932, 95.744),
    Release("t2t_vit_24", "82.3_T2T_ViT_24.pth.tar", 82.276, 95.886),
    Release("t2t_vit_24", "84.2_T2T_ViT_24.pth.tar", 84.2, tag="imagenet_token_labeling"),
    Release("t2t_vit_t_14", "81.7_T2T_ViTt_14.pth.tar", 81.688, 95.852),
    Release("t2t_vit_t_19", "82.4_T2T_ViTt_19.pth.tar", 82.442, 96.082),
    Release("t2t_vit_t_24", "82.6_T2T_ViTt_24.pth.tar", 82.554, 96.064),
    _cifar("t2t_vit_14", "cifar10_t2t-vit_14_98.3.pth", 10, 98.3),
    _cifar("t2t_vit_14", "cirfar100_t2t-vit-14_88.4.pth", 100, 88.4),  # spelled so in the release
    _cifar("t2t_vit_19", "cifar10_t2t-vit_19_98.4.pth", 10, 98.4),
    _cifar("t2t_vit_19", "cifar100_t2t-vit-19_89.0.pth", 100, 89.0),
)


def release_named(filename: str) -> Release | None:
    """Returns the release with that file name, whatever its folder; None where there is none."""
    return next((release for release in RELEASES if release.filename == filename), None)


def imagenet_release(
    variant: str, image_size: tuple[int | None, int | None] = (224, 224)
) -> Release:
    """Returns the ImageNet weights to start from at an image size, None where it is free.

    Only `t2t_vit_14` at 384x384 has weights of its own; other sizes get the ones for 224x224.
    """
    releases = [r for r in RELEASES if r.variant == variant and r.tag == "imagenet"]
    if not releases:
        released = sorted({r.variant for r in RELEASES if r.tag == "imagenet"})
        raise ValueError(
            f"The authors released no `imagenet` weights for `{variant}`; they did for "
            f"{', '.join(released)}. Pass `weights=None` to train from random weights, or the path "
            f"of a file. Received: variant={variant!r}"
        )
    exact = [r for r in releases if tuple(image_size) == (r.image_size, r.image_size)]
    return (exact or releases)[0]
