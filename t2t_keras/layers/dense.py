"""Dense connections, for the T2T-ViT-Dense ablation: every block appends channels to its input."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.encoder import BlockLayer, Encoder, EncoderBlock
from t2t_keras.layers.primitives import Composite, Shape, Tensor, gelu


@keras.saving.register_keras_serializable(package="t2t_keras")
class DenseGrowthBlock(BlockLayer):
    """An encoder block whose output, narrowed to `growth_rate` channels, is appended to its input.

    Args:
        growth_rate: Channels appended; at least 1.
        num_heads, mlp_ratio, ...: As in `EncoderBlock`.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D + growth_rate) tokens.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, table 1 (T2T-ViT-Dense); official `t2t_vit_dense.Block`.
    """

    def __init__(self, growth_rate: int, num_heads: int, mlp_ratio: float, **kwargs: Any):
        super().__init__(num_heads, mlp_ratio, **kwargs)
        check(growth_rate >= 1, "growth_rate", growth_rate, "at least 1")
        self.growth_rate = growth_rate

    def build(self, input_shape: Shape) -> None:
        block = EncoderBlock(**self.inner_config("block", self.drop_path_rate))
        self.block = self.child(block, input_shape)
        self.growth = self.dense("growth", self.growth_rate, input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.grow(inputs, self.block(inputs, training=training))

    def grow(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Appends the block's outputs, narrowed, to its inputs."""
        return ops.concatenate([inputs, self.growth(outputs)], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], input_shape[-1] + self.growth_rate)

    def get_config(self) -> dict:
        return {**super().get_config(), "growth_rate": self.growth_rate}


@keras.saving.register_keras_serializable(package="t2t_keras")
class Transition(Composite):
    """Halves the channels between two groups of dense blocks: a linear layer, then GELU.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D // 2) tokens.

    Reference: official `t2t_vit_dense.Transition`.
    """

    def build(self, input_shape: Shape) -> None:
        self.linear = self.dense("linear", input_shape[-1] // 2, input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        return gelu(self.linear(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], input_shape[-1] // 2)


@keras.saving.register_keras_serializable(package="t2t_keras")
class DenseEncoder(Encoder):
    """Groups of dense blocks with a transition between two groups, then a LayerNorm.

    Args:
        depth: Number of blocks of each group.
        growth_rate: Channels a block appends; at least 1.
        num_heads, mlp_ratio, ...: As in `DeepNarrowEncoder`; all blocks of a group share a
            stochastic depth rate, as the authors' do.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, E) tokens; E follows from D, `depth` and `growth_rate`.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, table 1; official `t2t_vit_dense.T2T_ViT_Dense`.
    """

    def __init__(
        self,
        depth: tuple[int, ...],
        growth_rate: int,
        num_heads: int,
        mlp_ratio: float,
        **kwargs: Any,
    ):
        super().__init__(num_heads, mlp_ratio, **kwargs)
        valid = bool(depth) and min(depth) >= 1
        check(valid, "depth", depth, "a tuple with a number of at least 1 for each group")
        self.depth = tuple(depth)
        self.growth_rate = growth_rate

    def make_blocks(self) -> list[keras.layers.Layer]:
        blocks: list[keras.layers.Layer] = []
        for group, count in enumerate(self.depth):
            # The authors spread the rate over 12 steps, their default depth, and take one a group.
            rate = self.drop_path_rate * group / 11
            if group > 0:
                blocks.append(Transition(dtype=self.dtype_policy, name=f"transition_{len(blocks)}"))
            for _ in range(count):
                config = self.inner_config(f"dense_growth_block_{len(blocks)}", rate)
                blocks.append(DenseGrowthBlock(self.growth_rate, **config))
        return blocks

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        width = input_shape[-1]
        for group, count in enumerate(self.depth):
            width = (width if group == 0 else width // 2) + count * self.growth_rate
        return (*input_shape[:-1], width)

    def get_config(self) -> dict:
        return {**super().get_config(), "depth": self.depth, "growth_rate": self.growth_rate}
