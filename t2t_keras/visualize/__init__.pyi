from .attention import (
    attention_blocks as attention_blocks,
    attention_rollout as attention_rollout,
    class_attention as class_attention,
    stage_attention as stage_attention,
    token_attention as token_attention,
)
from .callback import (
    AttentionImages as AttentionImages,
)
from .grad_cam import (
    grad_cam as grad_cam,
)
from .maps import (
    class_logits as class_logits,
    feature_maps as feature_maps,
    to_pixels as to_pixels,
    token_similarity as token_similarity,
    varied_channels as varied_channels,
)
from .plot import (
    plot_classes as plot_classes,
    plot_confusion as plot_confusion,
    plot_curves as plot_curves,
    plot_mistakes as plot_mistakes,
)
from .plot_maps import (
    overlay as overlay,
    plot_channels as plot_channels,
    plot_overlays as plot_overlays,
)
