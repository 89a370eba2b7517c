"""The installed packages and versions.

Only the standard library is imported at the top, here and in the modules that judge or repair the
installation: they have to run if everything else is missing.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The distributions that can install each module; of several, the tested one comes first.
PROVIDERS = {
    'packaging': ('packaging',),
    'numpy': ('numpy',),
    'torch': ('torch',),
    'cv2': (
        'opencv-python-headless',
        'opencv-python',
        'opencv-contrib-python-headless',
        'opencv-contrib-python',
    ),
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}

# The last torch with prebuilt mmcv on Python 3.10 and 3.12; Python 3.11 has none with any torch.
TORCH = '2.8.0' if sys.version_info < (3, 11) else '2.10.0'
if sys.version_info[:2] == (3, 11):
    TORCH = '2.13.0'

# Both families of OpenMMLab's packages, with the versions that the tests run with; requirements/
# pins the same. OpenMMLab's own are older than numpy 2.
TESTED = {
    'onedl': {
        'packaging': '26.3',
        'numpy': '2.2.6',
        'torch': TORCH,
        'opencv-python-headless': '4.12.0.88',
        'onedl-mmengine': '0.10.12',
        'onedl-mmcv': '2.3.6',
        'onedl-mmdetection': '3.5.1',
    },
    'openmmlab': {
        'packaging': '26.2',
        'numpy': '1.26.4' if sys.version_info >= (3, 9) else '1.24.4',
        'torch': '2.1.2',
        'opencv-python-headless': '4.11.0.86',
        'mmengine': '0.10.7',
        'mmcv': '2.1.0',
        'mmdet': '3.3.0',
    },
}

OPENMMLAB = ('mmengine', 'mmcv', 'mmdet')


def release(name: str) -> str | None:
    """Return the installed version of a distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def installed(module: str) -> dict[str, str]:
    """Return the installed distributions that provide a module of `PROVIDERS`, with versions."""
    return {name: found for name in PROVIDERS[module] if (found := release(name))}


def family() -> str:
    """Return the key in `TESTED` of the packages that are in use, 'onedl' if there are none."""
    found = [name for module in OPENMMLAB for name in installed(module)]
    of_onedl = [name for name in found if name.startswith('onedl-')]
    return 'openmmlab' if found and not of_onedl else 'onedl'


def wanted(module: str) -> str:
    """Return the requirement that installs a module, in the family of packages that is in use."""
    tested = TESTED[family()]
    name = next(name for name in PROVIDERS[module] if name in tested)
    # All OpenCV packages share their version numbers: an installed one fits the installed numpy.
    current = next(iter(installed(module).values()), None) if module == 'cv2' else None
    return f'{name}=={current or tested[name]}'


def ops_cuda_version() -> str | None:
    """Return the CUDA release that mmcv's operators were compiled for, None for CPU operators.

    Raises:
        ImportError: mmcv has no operators, or they do not load.
    """
    compiled_for = import_module('mmcv._ext').get_compiling_cuda_version()
    return compiled_for if re.match(r'\d', compiled_for) else None


def gpu_names() -> list[str]:
    """Return the names of the GPUs that torch can use; torch has to be installed."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(index) for index in range(count)]


def torch_cuda_version() -> str | None:
    """Return the CUDA release of an installed torch, None for a torch without CUDA."""
    import torch

    return torch.version.cuda


def nvcc_version() -> str | None:
    """Return the release of the CUDA compiler, found where torch's extension builder looks."""
    home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH')
    nvcc = Path(home, 'bin', 'nvcc') if home else shutil.which('nvcc') or '/usr/local/cuda/bin/nvcc'
    try:
        result = subprocess.run([nvcc, '--version'], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r'release (\d+\.\d+)', result.stdout)
    return found and found.group(1)


def pip_command(*arguments: str) -> str:
    """Return the command line that runs pip for this very interpreter."""
    return shlex.join([sys.executable, '-m', 'pip', *arguments])


def build_mmcv_command(*arguments: str) -> str:
    """Return the command line that builds mmcv and its operators for this very interpreter."""
    script = Path(__file__).with_name('build_mmcv.py')
    return shlex.join([sys.executable, str(script), *arguments])
