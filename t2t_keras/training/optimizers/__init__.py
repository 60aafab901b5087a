"""Optimizers, their groups and schedules, averaged weights, and training in parts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
