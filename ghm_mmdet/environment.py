"""Checks whether MMDetection is installed, and whether the package can work with it."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

MODULES = ('numpy', 'torch', 'cv2', 'mmengine', 'mmcv', 'mmcv._ext', 'mmdet')
OLDEST_TORCH = (2, 0)
DOCTOR = 'tools/setup/doctor.py'
HERE = Path(__file__).parent


def has_mmdetection() -> bool:
    """Whether MMDetection is installed; without it torch alone is needed."""
    return find_spec('mmdet') is not None


def doctor() -> Path:
    """The script that shows the repair, of the installed package or of a checkout."""
    installed = HERE / '.mim' / DOCTOR
    return installed if installed.is_file() else HERE.parent / DOCTOR


def require() -> None:
    """Check that the package can work with MMDetection here.

    Raises:
        ImportError: A module cannot be imported, or torch is too old. The message names the module,
            the reason, and how to repair it.
    """
    for module in MODULES:
        try:
            import_module(module)
        # a binary that does not fit raises anything: ImportError, OSError, AttributeError ...
        except Exception as error:
            reason = ' '.join(str(error).split()) or repr(error)
            raise ImportError(
                f'ghm_mmdet cannot be imported: {module} cannot be imported ({reason}); '
                f'for the repair run: {shlex.join([sys.executable, str(doctor())])}'
            ) from error
    found = import_module('torch').__version__
    if found < OLDEST_TORCH:
        oldest = '.'.join(map(str, OLDEST_TORCH))
        raise ImportError(
            f'ghm_mmdet cannot be imported: torch {found} is too old, {oldest} is needed; install '
            'one into a new environment, together with an mmcv for it'
        )
