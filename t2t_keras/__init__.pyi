from . import (
    applications as applications,
    data as data,
    errors as errors,
    export as export,
    images as images,
    layers as layers,
    models as models,
    training as training,
    variants as variants,
    visualize as visualize,
    weights as weights,
)
from .applications import (
    T2TViT as T2TViT,
    T2TViT7 as T2TViT7,
    T2TViT10 as T2TViT10,
    T2TViT12 as T2TViT12,
    T2TViT14 as T2TViT14,
    T2TViT14ResNeXt as T2TViT14ResNeXt,
    T2TViT14SE as T2TViT14SE,
    T2TViT14Wide as T2TViT14Wide,
    T2TViT16Ghost as T2TViT16Ghost,
    T2TViT19 as T2TViT19,
    T2TViT24 as T2TViT24,
    T2TViTc14 as T2TViTc14,
    T2TViTDense as T2TViTDense,
    T2TViTt14 as T2TViTt14,
    T2TViTt19 as T2TViTt19,
    T2TViTt24 as T2TViTt24,
    create_model as create_model,
    list_models as list_models,
)
from .errors import (
    CheckpointError as CheckpointError,
    DataError as DataError,
    DownloadError as DownloadError,
    ExportError as ExportError,
    ResumeError as ResumeError,
    T2TError as T2TError,
    TrainingError as TrainingError,
)
from .images import (
    decode_predictions as decode_predictions,
    load_image as load_image,
    preprocess_input as preprocess_input,
)
from .layers import (
    ClassToken as ClassToken,
    DeepNarrowEncoder as DeepNarrowEncoder,
    DenseEncoder as DenseEncoder,
    DenseGrowthBlock as DenseGrowthBlock,
    EncoderBlock as EncoderBlock,
    GhostAttention as GhostAttention,
    GhostMlp as GhostMlp,
    Mlp as Mlp,
    MultiHeadSelfAttention as MultiHeadSelfAttention,
    PositionTable as PositionTable,
    SoftSplit as SoftSplit,
    SqueezeExcite as SqueezeExcite,
    StochasticDepth as StochasticDepth,
    T2TBlock as T2TBlock,
    TokenMap as TokenMap,
    TokenPerformer as TokenPerformer,
    TokenPooling as TokenPooling,
    TokenTransformer as TokenTransformer,
    Transition as Transition,
)
from .models import (
    count_macs as count_macs,
    feature_strides as feature_strides,
    features as features,
)
from .variants import (
    VARIANTS as VARIANTS,
    Variant as Variant,
)
from .weights import (
    convert as convert,
    load_official_checkpoint as load_official_checkpoint,
    read_torch_checkpoint as read_torch_checkpoint,
)
