"""Build the runner that a config describes, on the ranks that its launcher started."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from mmengine.config import Config
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import distributed

from ghm_mmdet.cli.config import ConfigError, has_accelerator
from ghm_mmdet.mm_patches import cpu_ranks

LAUNCHERS = {
    'none': (),
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE', 'MASTER_ADDR'),
}
"""The environment variables that each launcher gives its ranks."""


def set_launcher(cfg: Config, launcher: str, local_rank: int) -> None:
    """Set the launcher and the local rank of this process.

    Raises:
        ConfigError: This process was not started by that launcher.
    """
    absent = [name for name in LAUNCHERS[launcher] if name not in os.environ]
    if absent:
        starter = {'pytorch': 'torchrun', 'slurm': 'srun', 'mpi': 'mpirun'}[launcher]
        raise ConfigError(
            f'--launcher {launcher}: the environment variable {absent[0]} is not set; '
            f'start with {starter}, or leave --launcher out'
        )
    cfg.launcher = launcher
    of_node = os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(local_rank))
    os.environ.setdefault('LOCAL_RANK', of_node)


def is_first_of_node(cfg: Config) -> bool:
    """Whether this rank reads the shared data of its machine.

    If it finds an error, the launcher ends the other ranks.
    """
    name = 'SLURM_LOCALID' if cfg.launcher == 'slurm' else 'LOCAL_RANK'
    return int(os.environ.get(name, 0)) == 0


@contextmanager
def runner(cfg: Config) -> Iterator[Runner]:
    """A runner for use inside this context; at its end the ranks are disconnected.

    Raises:
        ConfigError: It has several ranks on CPUs, and is not MMEngine's ``Runner``.
    """
    on_cpus = cfg.launcher != 'none' and not has_accelerator()
    if on_cpus and 'runner_type' in cfg:
        raise ConfigError(
            f'--launcher {cfg.launcher}: runner_type={cfg.runner_type!r} has ranks on GPUs alone, '
            'and none is visible; leave runner_type out to train on CPUs'
        )
    with cpu_ranks(cfg) if on_cpus else nullcontext():
        built = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        yield built
        _disconnect(built)


def _disconnect(built: Runner) -> None:
    """Leave the process group, and end its threads.

    The threads end with the last reference to the group, and the wrapped model holds one. A thread
    that still runs when the interpreter exits aborts the process, after all its work is done.
    """
    if not distributed.is_initialized():
        return
    if is_model_wrapper(built.model):
        built.model = built.model.module
    gc.collect()
    distributed.destroy_process_group()
