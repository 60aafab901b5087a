"""Keras layers of T2T-ViT, on `keras.ops` alone: they run on every Keras backend."""

from t2t_keras.layers.attention import MultiHeadSelfAttention
from t2t_keras.layers.dense_growth import DenseEncoder, DenseGrowthBlock, Transition
from t2t_keras.layers.embeddings import ClassToken, PositionTable
from t2t_keras.layers.encoder import DeepNarrowEncoder, EncoderBlock
from t2t_keras.layers.ghost import GhostAttention, GhostMlp
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.soft_split import SoftSplit
from t2t_keras.layers.squeeze_excite import SqueezeExcite
from t2t_keras.layers.stochastic_depth import StochasticDepth
from t2t_keras.layers.t2t_block import T2TBlock
from t2t_keras.layers.token_map import TokenMap
from t2t_keras.layers.token_performer import TokenPerformer
from t2t_keras.layers.token_pooling import TokenPooling
from t2t_keras.layers.token_transformer import TokenTransformer

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
