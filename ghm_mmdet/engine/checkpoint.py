"""The checkpoint file that a run starts from: there, complete, and no program."""

from __future__ import annotations

import logging
import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from ghm_mmdet.engine.config import ConfigError

PICKLE_START = b'\x80'
"""First byte of torch's format before 1.6."""
NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')
TRUST = '--trust-checkpoint'
DANGER = f'to load that can run any code; if you trust where it comes from, add {TRUST}'
SAFE_ONLY, UNSAFE_TOO = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
"""Environment variables of torch: what its ``load`` does, whatever a library asks it for."""


def guard_checkpoints(trusted: bool) -> None:
    """Let this process load checkpoints as data alone, or, where they are trusted, as programs.

    A pickle is a program, and MMEngine's loaders differ: some load everything by default, one does
    so without a word where the safe way fails.
    """
    for name, is_set in ((SAFE_ONLY, not trusted), (UNSAFE_TOO, trusted)):
        os.environ.pop(name, None)
        if is_set:
            os.environ[name] = '1'


def check_checkpoint(path: str, argument: str) -> None:
    """Check that a local checkpoint is there, complete, and loads in the way this process does.

    Addresses such as ``https://...`` or ``torchvision://...`` are left to MMEngine.

    Args:
        path: A file or an address.
        argument: Where the path comes from, for the message.

    Raises:
        ConfigError: There is no such file, torch has not written it to its end, or it holds more
            than data and is not trusted.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise ConfigError(f'{argument} {path}: no such checkpoint file')
    if not _is_complete(path):
        raise ConfigError(f'{argument} {path}: no checkpoint, or cut off while it was written')
    if os.environ.get(UNSAFE_TOO):
        return
    try:
        torch.load(path, map_location='meta', weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r'GLOBAL (\S+)', str(error))
        what = found[1] if found else 'a pickle that torch does not read as data'
        raise ConfigError(
            f'{argument} {path}: holds more than weights, {what}, and {DANGER}'
        ) from error
    except Exception as error:  # of a file of bytes at random torch raises anything
        raise ConfigError(f'{argument} {path}: no checkpoint that torch reads: {error}') from error


def set_resume(cfg: Config, resume: str) -> None:
    """Continue from a checkpoint, or with 'auto' from the newest complete one of the work dir.

    One that is cut off, because the run was killed while it wrote it, is named and passed over.

    Args:
        cfg: With its work dir; changed in place.
        resume: A file, or 'auto', which starts from the beginning where there is none: with the
            weights of the config's ``load_from``, if it has one.
    """
    found = newest_complete(Path(cfg.work_dir)) if resume == 'auto' else resume
    # without a file MMEngine would look for one, and find the one that is cut off
    cfg.resume = found is not None
    cfg.load_from = found or cfg.get('load_from')


def newest_complete(work_dir: Path) -> str | None:
    """The checkpoint of the latest epoch or iteration that is whole; None where there is none."""
    numbered = [(NUMBERED.fullmatch(path.name), path) for path in work_dir.glob('*.pth')]
    found = [(int(match[1]), path) for match, path in numbered if match and path.is_file()]
    for _, path in sorted(found, reverse=True):
        if _is_complete(str(path)):
            return str(path)
        print_log(f'{path}: cut off while it was written, passed over', 'current', logging.WARNING)
    return None


def _is_complete(path: str) -> bool:
    """Whether torch has written a file to its end, as far as can be told without unpickling it."""
    with open(path, 'rb') as file:
        return zipfile.is_zipfile(file) or (file.seek(0) == 0 and file.read(1) == PICKLE_START)
