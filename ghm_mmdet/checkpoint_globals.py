"""Lets torch load MMEngine's checkpoints with its safety on.

Since 2.6, ``torch.load`` refuses every global that it does not know, and MMEngine 0.10.7 does not
name those that its runner's checkpoints hold: the history of the logged scalars, as numpy arrays,
and numpy scalars. Here they are named, and nothing else is.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

STATISTICS = ('min', 'max', 'current', 'mean')
DTYPES = ('int32', 'int64', 'float32', 'float64')
RECONSTRUCT = np.empty(0).__reduce__()[0]
SCALAR = np.float64().__reduce__()[0]


def history_statistic(owner: object, name: str) -> Callable:
    """What pickle's ``getattr`` is in a checkpoint: a method of HistoryBuffer that it refers to.

    Raises:
        pickle.UnpicklingError: It is anything else, which could run code of a file's choice.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(f'getattr of {name!r} is not part of a checkpoint of MMEngine')
    return getattr(HistoryBuffer, name)


def checkpoint_globals() -> dict[str, Callable]:
    """The globals of a runner's checkpoint by the names that files have for them."""
    dtypes = [type(np.dtype(name)) for name in DTYPES]
    return {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'builtins.getattr': history_statistic,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
        **{f'{dtype.__module__}.{dtype.__qualname__}': dtype for dtype in dtypes},
        # numpy 2 moved its core; a file keeps the name of the numpy that it was written with.
        **{f'numpy.{core}.multiarray._reconstruct': RECONSTRUCT for core in ('core', '_core')},
        **{f'numpy.{core}.multiarray.scalar': SCALAR for core in ('core', '_core')},
    }


# Earlier releases load everything by default, and their lists take no names.
if torch.__version__ >= (2, 6):
    torch.serialization.add_safe_globals(
        [(content, name) for name, content in checkpoint_globals().items()]
    )
