"""Tokens-to-Token ViT for Keras 3.

    import t2t_keras

    model = t2t_keras.T2TViT14(weights="imagenet")
    image = t2t_keras.load_image("cat.jpg")
    scores = model.predict(t2t_keras.preprocess_input(image[None]))
    print(t2t_keras.decode_predictions(scores, top=5))

Reference: arXiv:2101.11986; the authors' code is yitu-opensource/T2T-ViT.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

import lazy_loader

__version__ = "0.1.0"

# `__init__.pyi` lists the public names. Each loads when it is first used, so that settings and
# `--help` load neither Keras nor TensorFlow.
__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
_ROOMS = {
    *("applications", "data", "errors", "export", "images", "layers", "models", "training"),
    *("variants", "visualize", "weights"),
}
__all__ = [name for name in _names if name not in _ROOMS]


def __dir__() -> list[str]:
    return sorted({*globals(), *_names})


def _register() -> None:
    """Registers with Keras the classes that files of models hold: it does not open them else."""
    for module in ("layers", "training.schedule", "training.optimizers.optimizer"):
        importlib.import_module(f"t2t_keras.{module}")


class _RegisterAfterKeras(importlib.abc.MetaPathFinder):
    """Calls `_register` as soon as Keras has been imported; to call it now would import Keras."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: types.ModuleType) -> None:
                execute(module)
                _register()

            spec.loader.exec_module = execute_and_register
        return spec


if "keras" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _RegisterAfterKeras())
