"""Whether MMDetection is here, and in one line what keeps the package from working with it."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet')
MODULES = ('numpy', 'torch', 'cv2', 'mmengine', 'mmcv', 'mmcv._ext', 'mmdet')
DOCTOR = Path(__file__).parent / '.mim' / 'tools' / 'setup' / 'doctor.py'


def has_openmmlab() -> bool:
    """Whether any of OpenMMLab's packages is installed; without them torch alone is needed."""
    return any(find_spec(module) for module in OPENMMLAB)


def require() -> None:
    """Check that the package can work with MMDetection here.

    Raises:
        ImportError: With the first module that cannot be imported, why, and the command that shows
            how to repair it.
    """
    for module in MODULES:
        try:
            import_module(module)
        # a binary that does not fit raises anything: ImportError, OSError, AttributeError ...
        except Exception as error:
            reason = ' '.join(str(error).split()) or repr(error)
            raise ImportError(
                f'ghm_mmdet cannot be imported: {module} cannot be imported ({reason}); '
                f'for the repair run: {sys.executable} {DOCTOR}'
            ) from error
