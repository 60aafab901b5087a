from .accumulation import (
    accumulating as accumulating,
    check_parts as check_parts,
)
from .averaging import (
    ema_weights as ema_weights,
)
from .optimizer import (
    build_optimizer as build_optimizer,
    transfer_optimizer as transfer_optimizer,
    undecayed_variables as undecayed_variables,
)
