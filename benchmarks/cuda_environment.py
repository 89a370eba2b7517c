"""An environment for the benchmarks beside a Python that may have a torch with CUDA, and no mmcv.

python -m benchmarks.cuda_environment FOLDER [--wheels WHEELS]

Packages of the Python that runs this are used, whatever their versions. Missing packages are
installed into FOLDER with the pins of requirements/, from WHEELS alone if that is given. mmcv comes
without its operators, whose compilation takes most of an hour: benchmarks.mmcv_focal has the one
that is measured. Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / 'requirements'
STAND_IN = Path(__file__).parent / 'mmcv_focal' / 'ext.py'
PINS = ('packages.txt', 'python3.10.txt', 'dev.txt')
NOT_NEEDED = {'ruff'}
# Distributions that install the module cv2, any of which will do.
OPENCV = {
    'opencv-python-headless',
    'opencv-python',
    'opencv-contrib-python-headless',
    'opencv-contrib-python',
}
LIST_INSTALLED = (
    'from importlib.metadata import distributions\n'
    'print(*{d.metadata["Name"] for d in distributions()}, sep="\\n")'
)
HAS_CUDA_OPERATORS = (
    'from mmcv._ext import get_compiling_cuda_version as version\n'
    'raise SystemExit(not version()[0].isdigit())'
)


def read_requirements(*names: str) -> list[str]:
    """The pins in files of requirements/."""
    lines = [line for name in names for line in (REQUIREMENTS / name).read_text().splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


def missing(requirements: Iterable[str], installed: Iterable[str]) -> list[str]:
    """The requirements whose distributions are not installed in any version, without tools."""
    there = {name_of(name) for name in installed} | NOT_NEEDED
    if there & OPENCV:
        there |= OPENCV
    return [each for each in requirements if name_of(each) not in there]


def name_of(requirement: str) -> str:
    """The name of a pinned or plain requirement, as names are compared."""
    return re.sub(r'[-_.]+', '-', requirement.partition('==')[0]).lower()


def site_folders() -> list[str]:
    """The folders of this Python's packages; it may itself be in an environment."""
    return [path for path in sys.path if Path(path).name in ('site-packages', 'dist-packages')]


def make_environment(folder: Path, inherited: Sequence[str]) -> Path:
    """Make a virtual environment that sees other folders of packages after its own.

    Returns:
        Its Python.
    """
    # without pip, which some distributions cannot install there; the inherited pip works
    venv.create(folder, with_pip=False, symlinks=True)
    (own_site(folder) / 'inherited.pth').write_text('\n'.join(inherited) + '\n')
    return folder / 'bin' / 'python'


def own_site(folder: Path) -> Path:
    """The folder of the packages of an environment that this Python made."""
    return folder / 'lib' / f'python{sys.version_info[0]}.{sys.version_info[1]}' / 'site-packages'


def has_torch(needs_cuda: bool) -> bool:
    """Whether this Python's torch can be used."""
    if find_spec('torch') is None:
        return False
    import torch

    return torch.version.cuda is not None or not needs_cuda


class Installer:
    """Runs pip in an environment.

    Args:
        python: That of the environment.
        wheels: The only place to install from; None for the package index.
    """

    def __init__(self, python: Path, wheels: Path | None) -> None:
        self._python = str(python)
        self._source = ['--no-index', '--find-links', str(wheels)] if wheels else []
        if not self.works('-m', 'pip', '--version'):
            self.works('-m', 'ensurepip')

    def works(self, *arguments: str) -> bool:
        """Whether a call of the environment's Python succeeds."""
        return subprocess.run([self._python, *arguments], capture_output=True).returncode == 0

    def install(self, *arguments: str) -> None:
        """Install, or print that it failed and go on: the rest may not need it."""
        if self._pip_install(*arguments):
            print(f'could not be installed: {" ".join(arguments)}', flush=True)

    def install_each(self, requirements: Sequence[str]) -> None:
        """Install without dependencies, one by one, so that a failure does not stop the others."""
        if requirements and self._pip_install('--no-deps', *requirements, hide=True):
            for each in requirements:
                self.install('--no-deps', each)

    def _pip_install(self, *arguments: str, hide: bool = False) -> int:
        command = [self._python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
        return subprocess.run(
            [*command, *self._source, *arguments], stderr=subprocess.DEVNULL if hide else None
        ).returncode

    def installed(self) -> list[str]:
        done = subprocess.run([self._python, '-c', LIST_INSTALLED], capture_output=True, text=True)
        return done.stdout.split()


def install_all(installer: Installer, with_torch: bool) -> None:
    """The missing requirements, in the order in which they are needed."""
    installer.install('--no-deps', *read_requirements('build.txt'))
    if with_torch:
        constraints = str(REQUIREMENTS / 'packages.txt')
        installer.install(*read_requirements('torch.txt'), '-c', constraints)
    installer.install_each(missing(read_requirements(*PINS), installer.installed()))


def install_mmcv(installer: Installer, folder: Path) -> None:
    """Install mmcv without operators and a replacement for them, unless it has CUDA's."""
    package = own_site(folder) / 'mmcv'
    if (package / '_ext.py').exists() or installer.works('-c', HAS_CUDA_OPERATORS):
        return
    requirement = read_requirements('mmcv.txt')[0]
    # Built in isolation, where torch is not seen, it leaves the operators out; a wheel that pip
    # kept from another build may have some.
    from_source = f'--no-binary={name_of(requirement)}'
    installer.install('--no-deps', '--no-cache-dir', '--ignore-installed', from_source, requirement)
    if package.exists():
        (package / '_ext.py').write_text(STAND_IN.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path)
    parser.add_argument('--wheels', type=Path, help='folder to install from, without a network')
    parser.add_argument('--without-cuda', action='store_true', help='any torch will do')
    args = parser.parse_args()
    inherits = has_torch(needs_cuda=not args.without_cuda)
    python = make_environment(args.folder, site_folders() if inherits else [])
    installer = Installer(python, args.wheels and args.wheels.resolve())
    install_all(installer, with_torch=not inherits)
    install_mmcv(installer, args.folder)
    sys.exit(subprocess.run([python, '-c', 'import ghm_mmdet'], cwd=ROOT).returncode)


if __name__ == '__main__':
    main()
