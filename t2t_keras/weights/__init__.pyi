from .assign import (
    Report as Report,
)
from .convert import (
    Conversion as Conversion,
    convert as convert,
    load_official_checkpoint as load_official_checkpoint,
)
from .torch_reader import (
    read_torch_checkpoint as read_torch_checkpoint,
)
