"""Checks of the checkpoint that a run starts from: it exists, is complete and holds only data."""

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

from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.mm_patches import UNSAFE_TOO

PICKLE_START = b'\x80'
"""First byte of torch's format before 1.6."""
NAME_ANOTHER = 'name an existing one'
TRUST = '--trust-checkpoint'
DANGER = f'to load that can run any code; if you trust where it comes from, add {TRUST}'


def check_checkpoint(path: str, argument: str, remedy: str = NAME_ANOTHER) -> object | None:
    """Check that a local checkpoint exists, is complete, and can be loaded by this process.

    Addresses such as ``https://...`` or ``torchvision://...`` are left to MMEngine.

    Args:
        path: A file or an address.
        argument: Source of the path, for the message.
        remedy: What to do if there is no such file, for the message.

    Returns:
        Its content, tensors without their data; None for an address.

    Raises:
        ConfigError: There is no such file, it is truncated, or it holds more than data and is not
            trusted.
    """
    if not check_file(path, argument, remedy) or os.environ.get(UNSAFE_TOO):
        return None
    try:
        return torch.load(path, map_location='meta', weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r'GLOBAL (\S+)', str(error))
        what = found[1] if found else 'a pickle that torch does not read as data'
        raise ConfigError(
            f'{argument} {path}: holds more than weights, {what}, and {DANGER}'
        ) from error
    except Exception as error:  # with random bytes torch raises any error
        raise ConfigError(f'{argument} {path}: no checkpoint that torch reads: {error}') from error


def check_file(path: str, argument: str, remedy: str = NAME_ANOTHER) -> bool:
    """The part of :func:`check_checkpoint` that does not load it: it exists and is complete.

    Returns:
        False for an address and for DeepSpeed's folder, of which nothing is checked.
    """
    if '://' in path or _is_of_deepspeed(Path(path)):
        return False
    if not os.path.isfile(path):
        raise ConfigError(f'{argument} {path}: no such checkpoint file; {remedy}')
    if not _is_complete(path):
        raise ConfigError(
            f'{argument} {path}: no checkpoint, or cut off while it was written; copy or download '
            'it again'
        )
    return True


def set_resume(cfg: Config, resume: str) -> None:
    """Continue from a checkpoint, or with 'auto' from the newest complete one of the run.

    A truncated checkpoint, of a run that was killed while it wrote it, is named and skipped.

    Args:
        cfg: With its work dir; changed in place.
        resume: A file, or 'auto'. Without a checkpoint 'auto' starts from the beginning, with the
            weights of the config's ``load_from`` if it has one, and says so.
    """
    found = newest_complete(cfg) if resume == 'auto' else resume
    # without a file MMEngine would search itself, and find the truncated one
    cfg.resume = found is not None
    cfg.load_from = found or cfg.get('load_from')
    if found is None:
        weights = f', with the weights of {cfg.load_from}' if cfg.load_from else ''
        _warn(
            f'--resume: {cfg.work_dir} has no complete checkpoint, neither by last_checkpoint nor '
            f'by its name; the training starts from the beginning{weights}; to resume another run, '
            'name its --work-dir, or a checkpoint'
        )


def newest_complete(cfg: Config) -> str | None:
    """The complete checkpoint of a run's latest epoch or iteration; None if there is none.

    Candidates are the files with a number in their name, by the checkpoint hook's
    ``filename_tmpl``, in the work dir and in the hook's ``out_dir``, and the file that MMEngine's
    ``last_checkpoint`` names. Only files that were written after the latter come before it.
    """
    work_dir = Path(cfg.work_dir)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    # in an out_dir MMEngine makes a folder for each run
    folders = [work_dir, *([Path(hook['out_dir'], work_dir.name)] if hook.get('out_dir') else [])]
    names = _numbered_names(hook.get('filename_tmpl'))
    numbers = {
        path: int(match[match.lastindex]) if match.lastindex else 0
        for folder in folders
        for path in folder.glob('*')
        if (match := names.fullmatch(path.name))
    }
    order = sorted(numbers, key=numbers.get, reverse=True)
    last = _last_checkpoint(work_dir)
    if last is not None:
        # a killed run may have written one more; older files are of an earlier run
        written = last.stat().st_mtime_ns
        later = [path for path in order if path.stat().st_mtime_ns > written]
        order = [*later, last, *(path for path in order if path not in (*later, last))]
    for path in order:
        if _is_of_deepspeed(path) or (path.is_file() and _is_complete(str(path))):
            return str(path)
        _warn(f'{path}: cut off while it was written, passed over')
    return None


def _numbered_names(template: str | None) -> re.Pattern:
    """Patterns of checkpoint names; the group that matches is the number."""
    templates = ['epoch_{}.pth', 'iter_{}.pth', *([template] if template else [])]
    patterns = [re.sub(r'\\\{.*?\\\}', r'(\\d+)', re.escape(each)) for each in templates]
    return re.compile('|'.join(patterns))


def _last_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint that MMEngine noted as its last one, if the file exists."""
    note = work_dir / 'last_checkpoint'
    if not note.is_file():
        return None
    path = Path(note.read_text().strip())
    # if the run was moved since, the checkpoint is beside this file
    return next((each for each in (path, work_dir / path.name) if each.exists()), None)


def _is_of_deepspeed(path: Path) -> bool:
    """Whether a folder is a checkpoint as DeepSpeed writes and reads it."""
    return any(path.glob('*model_states.pt'))


def _warn(text: str) -> None:
    print_log(text, 'current', logging.WARNING)


def _is_complete(path: str) -> bool:
    """Whether torch has written a file to its end, as far as can be seen without unpickling it."""
    with open(path, 'rb') as file:
        return zipfile.is_zipfile(file) or (file.seek(0) == 0 and file.read(1) == PICKLE_START)
