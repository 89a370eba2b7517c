"""Which back end computes the region sums: by device, or as the user says."""

from __future__ import annotations

import os
from types import ModuleType

from torch import Tensor

from ghm_mmdet.ops import reference, torch_ops

BACKENDS: dict[str, ModuleType] = {'reference': reference, 'torch': torch_ops}
VARIABLE = 'GHM_MMDET_BACKEND'


def choose(prediction: Tensor) -> str:
    """Name of the back end for this prediction.

    The environment variable ``GHM_MMDET_BACKEND`` forces one of ``BACKENDS``.

    Raises:
        ValueError: The variable names no back end.
    """
    forced = os.environ.get(VARIABLE)
    if forced is None:
        return 'torch' if prediction.device.type == 'cpu' else 'reference'
    if forced not in BACKENDS:
        raise ValueError(f'{VARIABLE}={forced!r}: must be one of {", ".join(sorted(BACKENDS))}')
    return forced
