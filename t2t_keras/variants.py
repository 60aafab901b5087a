"""Every published T2T-ViT as data: two models differ in a field here and in nothing else."""

import dataclasses

TOKEN_TYPES = ("performer", "transformer", "convolution")
BLOCK_TYPES = ("standard", "squeeze_excite", "ghost", "dense")
STEM_SOFT_SPLITS = ((7, 4, 2), (3, 2, 1), (3, 2, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """The sizes of one T2T-ViT.

    Args:
        embed_dim: Width of the encoder's tokens (of the first ones, where `block_type` is "dense").
        depth: Number of encoder blocks; a tuple, a number for each group, where `block_type` is
            "dense".
        num_heads: Attention heads of a block; divides the width of its tokens.
        mlp_ratio: Hidden width of a block's MLP over the width of its tokens.
        token_type: What re-structures the tokens between two soft splits: "performer",
            "transformer", or "convolution" (plain convolutions in place of the whole stem).
        token_dim: Width of the tokens inside the stem.
        block_type: "standard", "squeeze_excite", "ghost" or "dense".
        growth_rate: Channels a dense block appends; used where `block_type` is "dense".
        soft_splits: (kernel_size, strides, padding) of the stem's three soft splits, in pixels.
        image_size: Side in pixels of the square images the model takes by default.

    Raises:
        ValueError: A field is outside its range.

    Reference: arXiv:2101.11986, tables 1 and 7.
    """

    embed_dim: int
    depth: int | tuple[int, ...]
    num_heads: int
    mlp_ratio: float
    token_type: str = "performer"
    token_dim: int = 64
    block_type: str = "standard"
    growth_rate: int = 64
    soft_splits: tuple[tuple[int, int, int], ...] = STEM_SOFT_SPLITS
    image_size: int = 224

    def __post_init__(self) -> None:
        if self.token_type not in TOKEN_TYPES:
            raise ValueError(
                f"`token_type` must be one of {TOKEN_TYPES}. Received: token_type={self.token_type}"
            )
        if self.block_type not in BLOCK_TYPES:
            raise ValueError(
                f"`block_type` must be one of {BLOCK_TYPES}. Received: block_type={self.block_type}"
            )
        if (self.block_type == "dense") != isinstance(self.depth, tuple):
            raise ValueError(
                '`depth` must be a tuple, a number for each group, with block_type="dense" and '
                f"a whole number otherwise. Received: depth={self.depth}"
            )
        if len(self.soft_splits) != 3:
            raise ValueError(
                "`soft_splits` must hold three (kernel_size, strides, padding). "
                f"Received: soft_splits={self.soft_splits}"
            )
        for field in ("embed_dim", "num_heads", "mlp_ratio", "token_dim", "growth_rate"):
            if getattr(self, field) <= 0:
                raise ValueError(
                    f"`{field}` must be above 0. Received: {field}={getattr(self, field)}"
                )


VARIANTS = {
    "t2t_vit_7": Variant(embed_dim=256, depth=7, num_heads=4, mlp_ratio=2.0),
    "t2t_vit_10": Variant(embed_dim=256, depth=10, num_heads=4, mlp_ratio=2.0),
    "t2t_vit_12": Variant(embed_dim=256, depth=12, num_heads=4, mlp_ratio=2.0),
    "t2t_vit_14": Variant(embed_dim=384, depth=14, num_heads=6, mlp_ratio=3.0),
    "t2t_vit_19": Variant(embed_dim=448, depth=19, num_heads=7, mlp_ratio=3.0),
    "t2t_vit_24": Variant(embed_dim=512, depth=24, num_heads=8, mlp_ratio=3.0),
    "t2t_vit_t_14": Variant(
        embed_dim=384, depth=14, num_heads=6, mlp_ratio=3.0, token_type="transformer"
    ),
    "t2t_vit_t_19": Variant(
        embed_dim=448, depth=19, num_heads=7, mlp_ratio=3.0, token_type="transformer"
    ),
    "t2t_vit_t_24": Variant(
        embed_dim=512, depth=24, num_heads=8, mlp_ratio=3.0, token_type="transformer"
    ),
    "t2t_vit_14_resnext": Variant(embed_dim=384, depth=14, num_heads=32, mlp_ratio=3.0),
    "t2t_vit_14_wide": Variant(embed_dim=768, depth=4, num_heads=12, mlp_ratio=3.0),
    "t2t_vit_14_se": Variant(
        embed_dim=384, depth=14, num_heads=6, mlp_ratio=3.0, block_type="squeeze_excite"
    ),
    "t2t_vit_16_ghost": Variant(
        embed_dim=384, depth=16, num_heads=6, mlp_ratio=3.0, block_type="ghost"
    ),
    "t2t_vit_dense": Variant(
        embed_dim=128, depth=(3, 6, 6, 4), num_heads=8, mlp_ratio=2.0, block_type="dense"
    ),
    "t2t_vit_c_14": Variant(
        embed_dim=384, depth=14, num_heads=6, mlp_ratio=3.0, token_type="convolution"
    ),
}


def published_name(variant: Variant) -> str | None:
    """The name of the first published variant of these sizes, or None."""
    return next((name for name, sizes in VARIANTS.items() if sizes == variant), None)
