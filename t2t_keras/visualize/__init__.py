"""Images of a run, and of what a model sees."""

from t2t_keras.visualize.attention import (
    attention_blocks,
    attention_rollout,
    class_attention,
    stage_attention,
    token_attention,
)
from t2t_keras.visualize.callback import AttentionImages
from t2t_keras.visualize.grad_cam import grad_cam
from t2t_keras.visualize.maps import (
    class_logits,
    feature_maps,
    to_pixels,
    token_similarity,
    varied_channels,
)
from t2t_keras.visualize.plot import plot_classes, plot_confusion, plot_curves, plot_mistakes
from t2t_keras.visualize.plot_maps import overlay, plot_channels, plot_overlays

__all__ = [
    "AttentionImages",
    "attention_blocks",
    "attention_rollout",
    "class_attention",
    "class_logits",
    "feature_maps",
    "grad_cam",
    "overlay",
    "plot_channels",
    "plot_classes",
    "plot_confusion",
    "plot_curves",
    "plot_mistakes",
    "plot_overlays",
    "stage_attention",
    "to_pixels",
    "token_attention",
    "token_similarity",
    "varied_channels",
]
