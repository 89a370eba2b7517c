"""Which back end computes the region sums: by device, or as the user says."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from torch import Tensor

MODULES = {'reference': 'reference', 'torch': 'torch_ops', 'triton': 'triton_ops'}
VARIABLE = 'GHM_MMDET_BACKEND'


def choose(prediction: Tensor) -> str:
    """Name of the back end for this prediction.

    The environment variable ``GHM_MMDET_BACKEND`` forces one of ``MODULES``. The Triton back end
    has to be asked for: it has run in Triton's interpreter, and on no GPU yet.

    Raises:
        ValueError: The variable names no back end.
    """
    forced = os.environ.get(VARIABLE)
    if forced is None:
        return 'torch' if prediction.device.type == 'cpu' else 'reference'
    if forced not in MODULES:
        raise ValueError(f'{VARIABLE}={forced!r}: must be one of {", ".join(sorted(MODULES))}')
    return forced


def load(name: str) -> ModuleType:
    """The back end's module, imported when it is first used: Triton need not be installed."""
    return import_module(f'ghm_mmdet.ops.{MODULES[name]}')
