"""Reads a config file and applies the options of the command line to it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from mmdet.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import init_default_scope

from ghm_mmdet.config_types import config_class, is_a
from ghm_mmdet.hooks import (
    AtomicCheckpointHook,
    BrokenPictureHook,
    ExactResumeHook,
    HarmonizedLossHook,
)

RELIABLE_HOOKS = (BrokenPictureHook, ExactResumeHook, HarmonizedLossHook)


class ConfigError(ValueError):
    """A config or command line that cannot be run; the message is one line."""


def load_config(path: str, options: Mapping[str, object] | None = None) -> Config:
    """Read a config file and merge overriding options into it.

    Args:
        path: The file.
        options: Values by dotted key, as ``--cfg-options`` gives them.

    Raises:
        ConfigError: The file is missing, is no config, or the options do not fit.
    """
    if not os.path.isfile(path):
        raise ConfigError(f'config {path}: no such file')
    if path.endswith(('.pth', '.pt')):
        raise ConfigError(f'config {path}: is a checkpoint; name the config first')
    # A config is a program: any exception is an error in the config.
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        cause = _import_failure(error)
        raise ConfigError(f'config {path}: {type(cause).__name__}: {cause}') from error
    merge_options(cfg, options or {}, path)
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    return cfg


def merge_options(cfg: Config, options: Mapping[str, object], name: str) -> None:
    """Merge overriding options into a config in place.

    Raises:
        ConfigError: They do not fit into it; the message has the name.
    """
    try:
        cfg.merge_from_dict(dict(options))
    except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f'--cfg-options does not fit {name}: {error}') from error


def _import_failure(error: BaseException) -> BaseException:
    """The cause of a failed import of ``custom_imports``, which MMEngine wraps twice."""
    while isinstance(error, ImportError) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__
    return error


def set_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Set the folder of logs and checkpoints: the argument, the config's, or one named after it.

    Raises:
        ConfigError: Nothing can be written there, or MMEngine's copy of the config would replace
            the config itself.
    """
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'./work_dirs/{Path(cfg.filename).stem}'
    folder = Path(cfg.work_dir).resolve()
    if folder == Path(cfg.filename).resolve().parent:
        raise ConfigError(
            f'--work-dir {cfg.work_dir}: the folder of the config, which would be overwritten; '
            'name another folder'
        )
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigError(
            f'--work-dir {cfg.work_dir}: {existing} is no folder that can be '
            'written; name another folder'
        )


def set_amp(cfg: Config) -> None:
    """Train in mixed precision with a dynamic loss scale.

    Raises:
        ConfigError: The config has an optimizer wrapper of its own.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if config_class(kind, OPTIM_WRAPPERS) not in (OptimWrapper, AmpOptimWrapper):
        raise ConfigError(
            f'--amp: optim_wrapper.type={kind!r}: must be OptimWrapper, another has a precision of '
            'its own; leave --amp out'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'


def set_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the batch size.

    Raises:
        ConfigError: The config does not say which batch size its learning rate is for.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ConfigError(
            '--auto-scale-lr: the config has no auto_scale_lr.base_batch_size, the batch size '
            'that its learning rate is for; write it'
        )
    cfg.auto_scale_lr.enable = True


def set_reliable_hooks(cfg: Config) -> None:
    """Add the hooks of ``configs/_base_/reliable_runtime.py`` to a config that does not inherit it.

    ``AtomicCheckpointHook`` replaces MMEngine's own hook, if the config has it; missing hooks of
    ``RELIABLE_HOOKS`` are added.

    Raises:
        ConfigError: The config has one of ``RELIABLE_HOOKS`` more than once.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if config_class(hook.get('type'), HOOKS) is CheckpointHook:
        hook.type = AtomicCheckpointHook.__name__
    elif is_a(hook, HOOKS, CheckpointHook) and not is_a(hook, HOOKS, AtomicCheckpointHook):
        print_log(
            f'default_hooks.checkpoint.type={hook.type!r}: is kept, and may leave a truncated '
            'checkpoint if the run is killed; derive it from AtomicCheckpointHook',
            'current',
            logging.WARNING,
        )
    for kind in RELIABLE_HOOKS:
        add_hook(cfg, kind)


def add_hook(cfg: Config, kind: type[Hook]) -> None:
    """Add a hook of a class, without arguments, to a config that has none.

    Raises:
        ConfigError: The config has two.
    """
    defaults, custom = cfg.get('default_hooks') or {}, cfg.get('custom_hooks') or []
    places = [f'default_hooks.{key}' for key in defaults if is_a(defaults[key], HOOKS, kind)]
    places += [f'custom_hooks.{key}' for key, hook in enumerate(custom) if is_a(hook, HOOKS, kind)]
    if len(places) > 1:
        raise ConfigError(
            f'{places[1]}: a second {kind.__name__}, and a training takes one; write its arguments '
            f'into {places[0]}'
        )
    if not places:
        cfg.custom_hooks = [*custom, dict(type=kind.__name__)]


def has_accelerator() -> bool:
    """Whether there is a device on which MMEngine trains in mixed precision and over NCCL."""
    return get_device() not in ('cpu', 'mps')
