from .config import TrainConfig as TrainConfig
from .evaluation import Scores as Scores, evaluate as evaluate, score as score
from .optimizers.accumulation import accumulating as accumulating
from .optimizers.averaging import ema_weights as ema_weights
from .optimizers.optimizer import build_optimizer as build_optimizer
from .optimizers.rate_groups import undecayed_variables as undecayed_variables
from .recipes import (
    make_config as make_config,
    model_names as model_names,
    settings_of as settings_of,
    variant_of as variant_of,
)
from .run import TrainResult as TrainResult, train as train
from .schedule import PerEpoch as PerEpoch
