"""Lets torch load MMEngine's checkpoints with its safety on.

Since 2.6, ``torch.load`` refuses every global that it does not know, and MMEngine 0.10.7 does not
name those that its runner's checkpoints hold: the history of the logged scalars, the function that
a one-cycle schedule anneals by, numpy's arrays and scalars in the data set's description, and plain
values of Python. Here they are named, and nothing else is: none of them does more than hold data.
"""

from __future__ import annotations

import datetime
import pathlib
import pickle
from collections.abc import Callable

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

STATISTICS = ('min', 'max', 'current', 'mean')
ANNEALING = ('_annealing_cos', '_annealing_linear')
RECONSTRUCT = np.empty(0).__reduce__()[0]
SCALAR = np.float64().__reduce__()[0]
DTYPES = [type(np.dtype(code)) for code in '?bhilqBHILQefdgFDGSUMm']
VALUES = (
    *(bytes, slice, range, frozenset, ConfigDict),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    *(pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath, pathlib.PureWindowsPath),
)
"""Classes whose objects are made of their parts alone."""


class OneCycle:
    """Stands in a checkpoint for the class of schedules, of which no object is to be made."""


def attribute(owner: object, name: str) -> Callable:
    """What pickle's ``getattr`` is in a checkpoint: a function of a class that it refers to.

    Raises:
        pickle.UnpicklingError: It is anything else, which could run code of a file's choice.
    """
    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(HistoryBuffer, name)
    if owner is OneCycle and name in ANNEALING:
        return getattr(OneCycleParamScheduler, name)
    raise pickle.UnpicklingError(f'getattr of {name!r} is not part of a checkpoint of MMEngine')


def checkpoint_globals() -> dict[str, Callable]:
    """The globals of a runner's checkpoint by the names that files have for them."""
    schedule = f'{OneCycleParamScheduler.__module__}.{OneCycleParamScheduler.__qualname__}'
    return {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        schedule: OneCycle,
        'builtins.getattr': attribute,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
        **{f'{kind.__module__}.{kind.__qualname__}': kind for kind in (*DTYPES, *VALUES)},
        # numpy 2 moved its core; a file keeps the name of the numpy that it was written with.
        **{f'numpy.{core}.multiarray._reconstruct': RECONSTRUCT for core in ('core', '_core')},
        **{f'numpy.{core}.multiarray.scalar': SCALAR for core in ('core', '_core')},
    }


# Earlier releases load everything by default, and their lists take no names.
if torch.__version__ >= (2, 6):
    torch.serialization.add_safe_globals(
        [(content, name) for name, content in checkpoint_globals().items()]
    )
