"""What a finished run says about itself: numbers for programs, lines for people."""

import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from t2t_keras.data import decode_image
from t2t_keras.export import load_saved_model
from t2t_keras.training import Scores, TrainConfig, TrainResult, settings_of

_SAMPLES = 5


def metrics(config: TrainConfig, result: TrainResult, seconds: float) -> dict[str, Any]:
    """The content of `metrics.json`."""
    history, best = result.history, result.best_epoch
    accuracy = "val_ema_accuracy" if config.ema_decay else "val_accuracy"  # of the weights kept
    return {
        "test_accuracy": result.scores.accuracy,
        "test_top5_accuracy": result.scores.top5_accuracy,
        "test_loss": result.scores.loss,
        "test_images": result.scores.images,
        "selected_on": result.sources.selected_on,
        "best_epoch": best + 1,
        "validation_accuracy": history[accuracy][best],
        "train_images": result.sources.training.num_train,
        "parameters": result.model.count_params(),
        "class_names": list(result.sources.training.class_names),
        "per_class": {
            name: [round(float(value), 6) for value in values]
            for name, values in result.scores.per_class().items()
        },
        "epochs": len(history["loss"]),
        "replicas": result.replicas,
        "fit_seconds": round(result.fit_seconds, 1),
        "seconds": round(seconds, 1),
        "keras": keras.version(),
        "settings": settings_of(config),
    }


def accuracies(scores: Scores) -> str:
    """Top-1, and top-5 where there are more than five classes to choose from."""
    top1 = f"top-1 {scores.accuracy:.2%}"
    return f"{top1}, top-5 {scores.top5_accuracy:.2%}" if len(scores.confusion) > 5 else top1


def summary(config: TrainConfig, result: TrainResult, seconds: float) -> list[str]:
    """How good the model is, and how it was chosen."""
    scores = result.scores
    return [
        "",
        f"{config.model} on {config.dataset}, {scores.images} test images: "
        f"{accuracies(scores)}, after {seconds:.0f} s",
        f"Weights of epoch {result.best_epoch + 1}, the best on {result.sources.selected_on}.",
    ]


def samples(version: Path, result: TrainResult) -> list[str]:
    """Loads the SavedModel back and has it classify a few test images, as they come."""
    classify = load_saved_model(version)
    names = result.sources.test.class_names
    lines = ["", "Test images, classified by the SavedModel:"]
    for example in result.sources.test.evaluation().take(_SAMPLES):
        image = np.asarray(decode_image(example["image"]))
        outputs = classify(image[None])
        predicted = outputs["classes"][0, 0].decode()
        label = names[int(example["label"])]
        lines.append(
            f"  {predicted} ({outputs['probabilities'][0, 0]:.1%}), "
            + ("right" if predicted == label else f"wrong: it is {label}")
        )
    return lines


def next_steps(folder: Path, config: TrainConfig) -> list[str]:
    """Where everything is, and commands to go on with."""
    python = os.path.relpath(sys.executable)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [
        "",
        f"Everything is in {folder}: {', '.join(names)}",
        "Next:",
        f"  {python} train_keras.py --mode=eval --weights={folder}",
        f"  {python} -m t2t_keras.predict {folder} IMAGES",
        f"  {python} -m tensorboard.main --logdir={folder}",
        f"  docker run -p 8501:8501 -v {folder.absolute()}:/models/{config.model} "
        f"-e MODEL_NAME={config.model} tensorflow/serving",
        f"  {python} train_keras.py --dataset=FOLDER_OF_IMAGES --validation_split=0.1 "
        "--model=t2t_vit_7 --weights=imagenet --transfer --epochs=10",
    ]
