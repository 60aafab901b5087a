"""Pictures of a run and of a model."""

from t2t_keras.visualize.plot import plot_confusion, plot_curves

__all__ = ["plot_confusion", "plot_curves"]
