"""Keras layers of T2T-ViT, on `keras.ops` alone: they run on every Keras backend."""

from t2t_keras.layers.ablations import GhostAttention, GhostMlp, SqueezeExcite
from t2t_keras.layers.attention import MultiHeadSelfAttention
from t2t_keras.layers.dense import DenseEncoder, DenseGrowthBlock, Transition
from t2t_keras.layers.embeddings import ClassToken, PositionTable
from t2t_keras.layers.encoder import DeepNarrowEncoder, EncoderBlock
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.primitives import StochasticDepth
from t2t_keras.layers.soft_split import SoftSplit
from t2t_keras.layers.t2t_block import T2TBlock
from t2t_keras.layers.token_layers import TokenPerformer, TokenTransformer
from t2t_keras.layers.token_outputs import TokenMap, TokenPooling

__all__ = [
    "ClassToken",
    "DeepNarrowEncoder",
    "DenseEncoder",
    "DenseGrowthBlock",
    "EncoderBlock",
    "GhostAttention",
    "GhostMlp",
    "Mlp",
    "MultiHeadSelfAttention",
    "PositionTable",
    "SoftSplit",
    "SqueezeExcite",
    "StochasticDepth",
    "T2TBlock",
    "TokenMap",
    "TokenPerformer",
    "TokenPooling",
    "TokenTransformer",
    "Transition",
]
