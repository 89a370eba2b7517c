"""Stands in for mmcv._ext where mmcv was installed without operators.

It has the sigmoid focal loss, if that was compiled. Any other operator is there too, as mmcv checks
when it is imported, and raises when it is called.
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
