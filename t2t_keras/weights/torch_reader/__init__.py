"""Reading PyTorch checkpoints without PyTorch, and without trusting them.

A checkpoint is a pickle beside the raw numbers of its tensors, in a zip file or, before PyTorch
1.6, in one stream. A pickle is a program: whoever runs it with Python's `pickle` runs whatever its
author wrote. Allowing a few names in `Unpickler.find_class` is not enough: without any name a few
bytes still fill the memory (a memo index of 2**28), hang (doubled tuples as a dict's key) or crash
the interpreter (a million nested tuples).

So the opcodes go through a loop of our own (`unpickler`), which counts its steps and builds plain
values only. Every name a pickle mentions is looked up in an allow-list (`globals`): tensors of a
plain dtype, parameters, OrderedDict, NumPy scalars, torch.Size, and `argparse.Namespace` as an
inert `OpaqueObject`. Nothing is imported or called by name.

Everything else is refused before it costs anything: paths that are no regular file
(`regular_file`), archives that are compressed, damaged or ambiguous (`stored_zip`), tensors that do
not fit their storage and storages that do not fit the file (`tensors`), values that contain
themselves or expand beyond measure (`values`). The package needs NumPy and `t2t_keras.errors`.
"""

from t2t_keras.weights.torch_reader.invalid import printable
from t2t_keras.weights.torch_reader.reader import (
    checkpoint_defect,
    read_torch_checkpoint,
    read_whole,
)
from t2t_keras.weights.torch_reader.values import OpaqueObject

__all__ = ["OpaqueObject", "checkpoint_defect", "printable", "read_torch_checkpoint", "read_whole"]
