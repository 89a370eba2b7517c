"""Replaces mmcv._ext if mmcv was installed without operators.

It has the sigmoid focal loss, if that was compiled. All other operators exist, too, because mmcv
checks that when it is imported; they raise an error when they are called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch  # noqa: F401  (its libraries have to be loaded before what was compiled)

try:
    _compiled = import_module('mmcv._focal_loss')
except ImportError:
    _compiled = None


def __getattr__(name: str) -> Callable[..., object]:
    if name.startswith('__'):
        raise AttributeError(name)
    if hasattr(_compiled, name):
        return getattr(_compiled, name)

    def missing(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(f'{name}: this operator of mmcv was not compiled')

    return missing
