"""Times a model of this package beside the authors' PyTorch model, on this machine's CPU.

    git clone https://github.com/yitu-opensource/T2T-ViT
    pip install torch
    python -m benchmarks.authors_pytorch --authors=T2T-ViT --model=t2t_vit_14 --batch_size=8

Forward: logits of a batch. Step: loss, gradients and AdamW. Both in float32 with all cores.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib
import sys
import types

import keras
import numpy as np
import tensorflow as tf
import torch
from absl import app, flags

from benchmarks.timing import compare
from t2t_keras import create_model

FLAGS = flags.FLAGS
flags.DEFINE_string("authors", None, "Folder of the authors' code.", required=True)
flags.DEFINE_string("model", "t2t_vit_14", "The variant; both sides use the name.")
flags.DEFINE_integer("batch_size", 8, "Images a call.", lower_bound=1)
flags.DEFINE_integer("rounds", 5, "Pairs timed, after one warm-up.", lower_bound=1)
flags.DEFINE_boolean("jit_compile", False, "Compile ours with XLA.")

_LR = 1e-4


def _authors_model() -> torch.nn.Module:
    """The authors' model, with stand-ins for what they import from timm.

    Drop path is the identity: its rate is 0 unless it is given.
    """
    layers = {"DropPath": torch.nn.Identity, "trunc_normal_": torch.nn.init.trunc_normal_}
    for name, content in {
        "timm": {},
        "timm.models": {},
        "timm.models.helpers": {"load_pretrained": None},
        "timm.models.layers": layers,
        "timm.models.registry": {"register_model": lambda function: function},
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    package = types.ModuleType("models")  # without its __init__, which imports every variant
    package.__path__ = [os.path.join(FLAGS.authors, "models")]
    sys.modules["models"] = package
    name = FLAGS.model.replace("t2t_vit_t_", "T2t_vit_t_")
    return getattr(importlib.import_module("models.t2t_vit"), name)()


def _torch_calls(images: np.ndarray, labels: np.ndarray) -> dict:
    model = _authors_model()
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR)

    def forward():
        model.eval()
        with torch.no_grad():
            model(inputs)

    def step():
        model.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return {"forward": forward, "step": step}


def _keras_calls(images: np.ndarray, labels: np.ndarray) -> dict:
    model = create_model(FLAGS.model, weights=None, classifier_activation=None)
    model.compile(
        keras.optimizers.AdamW(_LR),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=FLAGS.jit_compile,
    )
    inputs = tf.constant(images)
    logits = tf.function(
        lambda inputs: model(inputs, training=False), jit_compile=FLAGS.jit_compile
    )
    return {
        "forward": lambda: logits(inputs).numpy(),
        "step": lambda: model.train_on_batch(images, labels),
    }


def main(_) -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((FLAGS.batch_size, 224, 224, 3)).astype("float32")
    labels = rng.integers(0, 1000, FLAGS.batch_size)
    others, ours = _torch_calls(images, labels), _keras_calls(images, labels)
    for what in ("forward", "step"):
        compare(f"{FLAGS.model}, {what}", others[what], ours[what], FLAGS.rounds)


if __name__ == "__main__":
    app.run(main)
