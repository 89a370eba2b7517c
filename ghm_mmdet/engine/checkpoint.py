"""Checks of a checkpoint file that a run starts from."""

from __future__ import annotations

import os
import zipfile

from ghm_mmdet.engine.config import ConfigError

PICKLE_START = b'\x80'
"""First byte of torch's format before 1.6."""


def check_checkpoint(path: str, argument: str) -> None:
    """Check that a local checkpoint is there and complete; addresses are left to MMEngine.

    Args:
        path: A file, or an address such as ``https://...`` or ``torchvision://...``.
        argument: Where the path comes from, for the message.

    Raises:
        ConfigError: There is no such file, or torch has not written it to its end.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        raise ConfigError(f'{argument} {path}: no such checkpoint file')
    with open(path, 'rb') as file:
        if not zipfile.is_zipfile(file) and file.seek(0) == 0 and file.read(1) != PICKLE_START:
            raise ConfigError(f'{argument} {path}: no checkpoint, or cut off while it was written')
