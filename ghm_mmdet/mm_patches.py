"""All changes that this package makes to other packages and to the process, with reasons.

When the package is imported
    - MMEngine reads a package's configs from the folder ``.mim`` beside its modules, and refuses
      packages that its table ``MODULE2PACKAGE`` does not name. An entry there lets other configs
      inherit with ``_base_ = 'ghm_mmdet::...'``. MMEngine looks before it runs a config's
      ``custom_imports``, so a script that parses such a config imports ``ghm_mmdet`` first.
    - Since 2.6, ``torch.load`` refuses every global that it does not know, and MMEngine 0.10.7 does
      not allow the globals of its runner's checkpoints. :func:`checkpoint_globals` lists them; all
      of them only hold data. With an older torch, ``weights_only=True`` uses the
      unpickler of :mod:`ghm_mmdet.data_pickle`, which has the same list.

When a config imports ``ghm_mmdet.drop_in``
    - ``GHMC`` and ``GHMR`` of MMDetection's registry are classes of this package.

When a command line is started
    - :func:`import_mmdet_quietly` and :func:`ignore_pkg_resources` drop lines that mmdet and
      MMEngine print about optional packages.
    - The config's ``default_scope`` is set before the config is checked, as the runner does later.
    - :func:`guard_checkpoints` sets one of two environment variables of ``torch.load``.
    - :func:`cpu_ranks` puts a function without effect in place of ``torch.cuda.set_device`` while a
      distributed runner without GPUs exists.

In a training
    - ``ExactResumeHook`` gives the training's data set a ``__getitems__`` and its loader a sampler
      (:mod:`ghm_mmdet.datasets.seeded_loading`).
    - ``BrokenPictureHook`` puts :class:`ghm_mmdet.datasets.tolerant_loading.TolerantItems` in place
      of a data set's ``prepare_data``.
    - ``HarmonizedLossHook`` puts a hook before the optimizers' steps with ``skip_nonfinite``.

State that the package keeps in the process: the table of criteria by key
(``Criterion._by_key``), the results of the self-check (``ops.self_check._obstacles``), the forced
back end (``ops.backends._forced``), and the classes of ``WholePyramidHead`` by head.

Parts of torch and MMEngine that are used here and are not public; check them in an upgrade:
``torch._C._current_graph_task_id`` (losses/restart.py), ``torch._dynamo.disable`` below 2.8
(ops/compiling.py), ``torch.serialization._weights_only_unpickler`` below 2.6 (data_pickle.py),
``torch._foreach_norm`` (hooks/harmonized_loss_hook.py), ``vars(loader)['sampler']``
(datasets/seeded_loading.py), the internals of ``CheckpointHook`` (hooks/atomic_checkpoint_hook.py).
"""

from __future__ import annotations

import datetime
import os
import pathlib
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

from ghm_mmdet.data_pickle import use_for_weights_only

# MMEngine takes the folder of the named module. With the name of the distribution, MMEngine 0.10.7
# would look beside the installed metadata, where an editable install does not have the package.
MODULE2PACKAGE['ghm_mmdet'] = __name__

SAFE_ONLY, UNSAFE_TOO = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
"""Environment variables of torch that decide how ``load`` works, whatever its arguments are."""

# mmdet prints the first whatever the log level, and warns with the second.
ANNOUNCEMENTS = ('Could not import OneDL', 'faster_coco_eval is not installed')

# OpenMMLab's MMEngine imports this module when a config inherits from a package's config.
PKG_RESOURCES = 'pkg_resources is deprecated'

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
    """A stand-in for the class of one-cycle schedules in a checkpoint; it makes no schedule."""


def attribute(owner: object, name: str) -> Callable:
    """Replaces ``getattr`` in a checkpoint: it returns a few named functions and nothing else.

    Raises:
        pickle.UnpicklingError: It is another function, which could run code of a file's choice.
    """
    if owner is HistoryBuffer and name in STATISTICS:
        return getattr(HistoryBuffer, name)
    if owner is OneCycle and name in ANNEALING:
        return getattr(OneCycleParamScheduler, name)
    raise pickle.UnpicklingError(f'getattr of {name!r} is not part of a checkpoint of MMEngine')


def checkpoint_globals() -> dict[str, Callable]:
    """The globals of a runner's checkpoint by their names in files."""
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


# The lists of earlier releases take no names.
if torch.__version__ >= (2, 6):
    torch.serialization.add_safe_globals(
        [(content, name) for name, content in checkpoint_globals().items()]
    )
else:
    use_for_weights_only(checkpoint_globals())


def guard_checkpoints(trusted: bool) -> None:
    """Let this process load checkpoints as data only, or run their code if they are trusted.

    A pickle is a program, and MMEngine's loaders differ: some run everything by default, one does
    so silently if the safe way fails.
    """
    for name, is_set in ((SAFE_ONLY, not trusted), (UNSAFE_TOO, trusted)):
        os.environ.pop(name, None)
        if is_set:
            os.environ[name] = '1'


@contextmanager
def cpu_ranks(cfg: Config) -> Iterator[None]:
    """Let a runner that is built and run inside start its ranks on CPUs, connected by gloo.

    MMEngine sets the rank's CUDA device when it starts the process group, and gives
    DistributedDataParallel that device. Neither exists on CPUs; everything else of MMEngine works.

    Args:
        cfg: The runner's config, changed in place.
    """
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    # MMEngine's arguments for a config without a wrapper, without the device.
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **cfg.get('model_wrapper_cfg', {}),
        'device_ids': None,
    }
    set_device = torch.cuda.set_device
    torch.cuda.set_device = lambda device: None
    try:
        yield
    finally:
        torch.cuda.set_device = set_device


def import_mmdet_quietly() -> None:
    """Import the parts of mmdet that announce missing optional packages, without those lines.

    All other output and warnings of the import are shown. Call this before a runner is
    built, which imports the same parts.
    """
    printed = StringIO()
    with redirect_stdout(printed), warnings.catch_warnings():
        for announcement in ANNOUNCEMENTS:
            warnings.filterwarnings('ignore', message=announcement)
        import_module('mmdet.datasets')
        import_module('mmdet.evaluation')
    for line in printed.getvalue().splitlines(keepends=True):
        if not line.startswith(ANNOUNCEMENTS):
            sys.stdout.write(line)


def ignore_pkg_resources() -> None:
    """Ignore the warning of a module that mmengine imports."""
    warnings.filterwarnings('ignore', message=PKG_RESOURCES)
