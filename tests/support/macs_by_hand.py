"""The multiply-accumulates of a variant, written out without a model."""

from t2t_keras import Variant

TOKENS = 197


def _stem_by_hand(variant, features=32):
    """At 224 x 224, written out: 3136, 784 and 196 tokens, windows of 147 and 9 * token_dim."""
    token_dim = variant.token_dim
    total = 196 * 9 * token_dim * variant.embed_dim
    if variant.token_type == "convolution":
        return total + 3136 * 147 * token_dim + 784 * 9 * token_dim**2
    for count, window in ((3136, 147), (784, 9 * token_dim)):
        total += count * window * 3 * token_dim  # keys, queries, values
        total += 3 * count * token_dim**2  # projection and MLP
        if variant.token_type == "transformer":
            total += 2 * count**2 * token_dim
        else:
            total += 2 * count * token_dim * features  # phi of keys and queries
            total += 2 * count * token_dim * features  # keys to values, queries to result
            total += count * features  # normalizer
    return total


def _block_by_hand(variant, width):
    between_tokens = 2 * TOKENS**2 * width
    if variant.block_type == "ghost":
        # Half of keys, queries and values, and two of three parts of the hidden layer, are scaled.
        attention = 3 * TOKENS * width * (width // 2) + 3 * TOKENS * (width // 2)
        mlp = TOKENS * width**2 + 2 * TOKENS * width + TOKENS * 3 * width**2
        return attention + between_tokens + TOKENS * width**2 + mlp
    total = 4 * TOKENS * width**2 + between_tokens + 2 * TOKENS * variant.mlp_ratio * width**2
    if variant.block_type == "squeeze_excite":
        total += 2 * width * (width // 16) + TOKENS * width  # the gate, and its use
    return total


def macs_by_hand(variant: Variant) -> int:
    """Of a published variant on one image of 224 x 224, with 1000 classes."""
    total, width = _stem_by_hand(variant), variant.embed_dim
    if variant.block_type != "dense":
        return total + variant.depth * _block_by_hand(variant, width) + width * 1000
    for group, count in enumerate(variant.depth):  # halved between groups, grows in each block
        if group > 0:
            total += TOKENS * width * (width // 2)
            width //= 2
        for _ in range(count):
            total += _block_by_hand(variant, width) + TOKENS * width * variant.growth_rate
            width += variant.growth_rate
    return total + width * 1000
