"""Keras layers of T2T-ViT, on `keras.ops` alone: they run on every Keras backend."""

from t2t_keras.layers.ablations import GhostAttention as GhostAttention
from t2t_keras.layers.ablations import GhostMlp as GhostMlp
from t2t_keras.layers.ablations import SqueezeExcite as SqueezeExcite
from t2t_keras.layers.attention import MultiHeadSelfAttention as MultiHeadSelfAttention
from t2t_keras.layers.dense import DenseEncoder as DenseEncoder
from t2t_keras.layers.dense import DenseGrowthBlock as DenseGrowthBlock
from t2t_keras.layers.dense import Transition as Transition
from t2t_keras.layers.embeddings import ClassToken as ClassToken
from t2t_keras.layers.embeddings import PositionTable as PositionTable
from t2t_keras.layers.encoder import DeepNarrowEncoder as DeepNarrowEncoder
from t2t_keras.layers.encoder import EncoderBlock as EncoderBlock
from t2t_keras.layers.mlp import Mlp as Mlp
from t2t_keras.layers.primitives import StochasticDepth as StochasticDepth
from t2t_keras.layers.soft_split import SoftSplit as SoftSplit
from t2t_keras.layers.t2t_block import T2TBlock as T2TBlock
from t2t_keras.layers.token_layers import TokenPerformer as TokenPerformer
from t2t_keras.layers.token_layers import TokenTransformer as TokenTransformer
from t2t_keras.layers.token_outputs import TokenMap as TokenMap
from t2t_keras.layers.token_outputs import TokenPooling as TokenPooling
