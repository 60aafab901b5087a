"""Pictures of a run and of a model."""

from t2t_keras.visualize.plot import plot_classes, plot_confusion, plot_curves, plot_mistakes

__all__ = ["plot_classes", "plot_confusion", "plot_curves", "plot_mistakes"]
