"""Broken environments for subprocesses: the installed packages, but for what a test takes away."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

from installed_packages import wanted

REPOSITORY = Path(__file__).resolve().parents[2]
INSTALLED = Path(sysconfig.get_paths()['purelib'])

NO_OPERATORS = {'mmcv/__init__.py': ''}
OTHER_TORCH = {**NO_OPERATORS, 'mmcv/_ext.py': 'raise ImportError("undefined symbol: _ZN3c10")'}
TOO_NEW_MMCV = {
    'mmcv-2.2.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2.2.0\n',
    'mmdet-3.3.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: mmdet\nVersion: 3.3.0\n'
    'Requires-Dist: mmcv<2.2.0,>=2.0.0rc4; extra == "mim"\n',
}
BUILD_MMCV = 'tools/setup/build_mmcv.py'
# How the names of the packages begin, of whichever family is installed.
FAMILY = 'onedl-' if any(INSTALLED.glob('onedl_mmengine-*')) else ''
ANOTHER_NUMPY = "'numpy<2'" if version('numpy') >= '2' else 'numpy=='


def failing_cv2(message: str) -> dict[str, str]:
    return {'cv2/__init__.py': f'raise ImportError({message!r})'}


# What is hidden, what is replaced, and what the summary and the repair then say.
BROKEN = {
    'torch is missing': (
        ('torch',),
        {},
        'torch is not installed',
        f'-m pip install {wanted("torch")}',
    ),
    'mmengine is missing': (
        ('mmengine',),
        {},
        'mmengine is not installed',
        f'-m pip install {FAMILY}mmengine==',
    ),
    'mmdet is missing': (('mmdet',), {}, 'mmdet is not installed', f'-m pip install {FAMILY}mmdet'),
    'mmcv is missing': (('mmcv',), {}, 'mmcv is not installed', BUILD_MMCV),
    'cv2 is missing': (
        ('cv2', 'opencv*'),
        {},
        'cv2 is not installed',
        '-m pip install --no-deps opencv-python-headless==',
    ),
    'mmcv has no operators': ((), NO_OPERATORS, "No module named 'mmcv._ext'", BUILD_MMCV),
    'operators of another torch': ((), OTHER_TORCH, 'do not load with torch 2.', BUILD_MMCV),
    'mmdet of OpenMMLab beside a newer mmcv': (
        ('onedl_mm*', 'mmcv-*', 'mmdet-*'),
        TOO_NEW_MMCV,
        'mmdet needs mmcv<2.2.0,>=2.0.0rc4, but mmcv 2.2.0 ',
        BUILD_MMCV,
    ),
    'no libGL': (
        (),
        failing_cv2('libGL.so.1: cannot open shared object file'),
        'libGL.so.1',
        'install --no-deps opencv-python-headless==',
    ),
    'numpy of another ABI': (
        (),
        failing_cv2('numpy.core.multiarray failed to import'),
        'numpy.core.multiarray',
        f'-m pip install {ANOTHER_NUMPY}',
    ),
    'a dependency is missing': (
        ('addict*',),
        {},
        "No module named 'addict'",
        '-m pip install addict',
    ),
}


def make_site(folder: Path, hidden: tuple[str, ...] = (), stubs: dict[str, str] | None = None):
    """Link the installed packages into a folder.

    Args:
        folder: The folder to make.
        hidden: Patterns of the packages that are left out.
        stubs: Files to write, by their path in the folder; they replace the package they are in.
    """
    folder.mkdir()
    stubs = stubs or {}
    left_out = [*hidden, *(Path(name).parts[0] for name in stubs)]
    for entry in INSTALLED.iterdir():
        if not any(entry.match(pattern) for pattern in left_out):
            (folder / entry.name).symlink_to(entry)
    if sys.version_info >= (3, 12):
        # which left Python; setuptools brings it by a .pth file, and -S reads none
        (folder / 'distutils').symlink_to(INSTALLED / 'setuptools' / '_distutils')
    for name, text in stubs.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def run_in_site(
    site: Path, *arguments: str, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess:
    """Run Python with the packages of a site alone, by default in the repository's root."""
    return subprocess.run(
        [sys.executable, '-S', *arguments],
        cwd=folder,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
