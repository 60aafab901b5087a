"""One way to run a model, in a process of its own: `benchmarks.speed` starts it and tells it when.

It answers each line on its standard input with one line of JSON. A number asks for so many calls
and is answered with the seconds of each; "memory" with the peak bytes of the process and a GPU.
"""

import argparse
import importlib
import json
import os
import resource
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_LR = 1e-4
_SIDE = 4096  # of the matrices whose product gives the machine's limit
Call = Callable[[], object]


class Work:
    """What is asked for: images and labels, and how a contestant is to compute."""

    def __init__(self, asked: argparse.Namespace):
        self.asked = asked
        self.train = asked.what == "step"
        rng, size = np.random.default_rng(0), asked.image_size
        shape = (asked.batch_size, size, size, 3)
        self.images = rng.standard_normal(shape, "float32")
        self.labels = rng.integers(0, 1000, asked.batch_size)


def authors_model(folder: str, name: str):
    """The authors' PyTorch model, with stand-ins for what they import from timm.

    Drop path is the identity: its rate is 0 unless it is given.
    """
    import torch

    layers = {"DropPath": torch.nn.Identity, "trunc_normal_": torch.nn.init.trunc_normal_}
    for module, content in {
        "timm": {},
        "timm.models": {},
        "timm.models.helpers": {"load_pretrained": None},
        "timm.models.layers": layers,
        "timm.models.registry": {"register_model": lambda function: function},
    }.items():
        sys.modules[module] = types.ModuleType(module)
        vars(sys.modules[module]).update(content)
    package = types.ModuleType("models")  # without its __init__, which imports every variant
    package.__path__ = [os.path.join(folder, "models")]
    sys.modules["models"] = package
    function = name.replace("t2t_vit_t_", "T2t_vit_t_")
    return getattr(importlib.import_module("models.t2t_vit"), function)


def torch_call(work: Work, compile_it: bool) -> Call:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    make = authors_model(work.asked.authors, work.asked.model)
    model = make(img_size=work.asked.image_size).to(device).train(work.train)
    inputs = torch.from_numpy(work.images.transpose(0, 3, 1, 2).copy()).to(device)
    targets = torch.from_numpy(work.labels).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR)
    run = torch.compile(model) if compile_it else model
    half = torch.autocast(device, torch.bfloat16, enabled=work.asked.precision == "bfloat16")

    def forward():
        with torch.no_grad(), half:
            return run(inputs).float().cpu()

    def step():
        optimizer.zero_grad()
        with half:
            loss = torch.nn.functional.cross_entropy(run(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step if work.train else forward


def keras_call(work: Work, jit_compile: bool) -> Call:
    """A model of this package on the backend of KERAS_BACKEND."""
    import keras

    from t2t_keras import create_model
    from t2t_keras.training import build_optimizer

    if work.asked.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    shape, remat = work.images.shape[1:], "full" if work.asked.remat else None
    with keras.RematScope(remat):
        model = create_model(
            work.asked.model, weights=None, input_shape=shape, classifier_activation=None
        )
    optimizer = build_optimizer(model, _LR, weight_decay=1e-2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=jit_compile)
    if work.train:
        return lambda: model.train_on_batch(work.images, work.labels)
    return lambda: model.predict_on_batch(work.images)


def file_call(work: Work, format: str) -> Call:
    """A model of this package as a file, which is read by its own runtime alone."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [work.asked.model, str(work.asked.image_size), format, folder]
        if pid := os.fork():  # TensorFlow's memory and threads are not the runtime's
            if os.waitpid(pid, 0)[1]:
                raise RuntimeError(f"{format}: no file was written")
        else:
            code = "from benchmarks.contestants import write; import sys; write(*sys.argv[1:])"
            os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
        if format == "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(next(Path(folder).rglob("model.onnx")))
            return lambda: session.run(["logits"], {"image": work.images})
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else bfloat16 where the processor has it
        compiled = openvino.compile_model(next(Path(folder).rglob("model.xml")), config=exact)
        return lambda: compiled({"image": work.images})["logits"]


def write(model: str, size: str, format: str, folder: str) -> None:
    from t2t_keras import create_model
    from t2t_keras.export import export_model

    made = create_model(model, weights=None, input_shape=(int(size), int(size), 3))
    export_model(made, [f"class {index}" for index in range(1000)], folder, format)


def matmul_call(work: Work) -> Call:
    """The product of two large matrices in float32: the most that this machine can compute."""
    import tensorflow as tf

    left, right = (tf.random.normal((_SIDE, _SIDE)) for _ in range(2))
    return lambda: tf.linalg.matmul(left, right).numpy()


CONTESTANTS: dict[str, Callable[[Work], Call]] = {
    "torch": lambda work: torch_call(work, False),
    "torch.compile": lambda work: torch_call(work, True),
    "tensorflow": lambda work: keras_call(work, False),
    "xla": lambda work: keras_call(work, True),
    "jax": lambda work: keras_call(work, True),
    "onnx": lambda work: file_call(work, "onnx"),
    "openvino": lambda work: file_call(work, "openvino"),
    "matmul": matmul_call,
}
MATMUL_FLOPS = 2 * _SIDE**3


def peak_memory() -> dict[str, int]:
    """Peak bytes of this process, and of its first GPU by whichever library runs here."""
    peaks = {"process": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        peaks["gpu"] = sys.modules["torch"].cuda.max_memory_allocated()
    elif os.environ.get("KERAS_BACKEND") == "jax":
        stats = sys.modules["jax"].devices()[0].memory_stats()
        peaks["gpu"] = (stats or {}).get("peak_bytes_in_use", 0)
    elif "tensorflow" in sys.modules:
        config = sys.modules["tensorflow"].config
        if config.list_physical_devices("GPU"):
            peaks["gpu"] = config.experimental.get_memory_info("GPU:0")["peak"]
    return peaks


def parser() -> argparse.ArgumentParser:
    """The flags that say what each contestant computes."""
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--what", choices=["forward", "step"], default="forward")
    flags.add_argument("--model", default="t2t_vit_14", help="variant; both sides use the name")
    flags.add_argument("--batch_size", type=int, default=8)
    flags.add_argument("--image_size", type=int, default=224)
    flags.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    flags.add_argument("--remat", action="store_true", help="recompute ours in the backward pass")
    flags.add_argument("--authors", default="T2T-ViT", help="folder of the authors' code")
    return flags


def main() -> None:
    flags = argparse.ArgumentParser(parents=[parser()])
    flags.add_argument("name", choices=CONTESTANTS)
    asked = flags.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print
    started = time.perf_counter()
    call = CONTESTANTS[asked.name](Work(asked))
    call()
    answers.write(json.dumps({"first": time.perf_counter() - started}) + "\n")
    for line in sys.stdin:
        answer: object = peak_memory()
        if line.strip() != "memory":
            answer = []
            for _ in range(int(line)):
                started = time.perf_counter()
                call()
                answer.append(time.perf_counter() - started)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
