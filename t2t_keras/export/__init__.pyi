from .classifier import (
    UNREADABLE as UNREADABLE,
    Classifier as Classifier,
)
from .exchange import (
    export_model as export_model,
)
from .preprocessing import (
    Preprocessing as Preprocessing,
)
from .saved_model import (
    export_saved_model as export_saved_model,
    load_saved_model as load_saved_model,
    next_version as next_version,
)
