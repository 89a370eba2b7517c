"""The layout of the code: which folder may import which, as README's last section draws it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY, environment

PACKAGE = REPOSITORY / 'ghm_mmdet'
METHOD, OPS = {'method'}, {'method', 'ops'}
MAY_IMPORT = {
    'method': METHOD,
    'ops': OPS,
    'functional': OPS,
    'losses': OPS | {'losses'},
    'heads': OPS | {'losses', 'heads', 'config_types'},
    'datasets': {'datasets', 'config_types'},
    'hooks': {'method', 'losses', 'datasets', 'hooks'},
    'diagnosis': OPS | {'losses', 'datasets', 'diagnosis'},
    'cli': {
        *OPS,
        *('losses', 'heads', 'hooks', 'datasets', 'diagnosis', 'cli'),
        *('config_types', 'mm_patches'),
    },
}
"""By folder or module of the package: its rooms in the package. The top of the package has none."""
OUTSIDE = {
    'method': {'torch'},
    'ops': {'torch', 'triton'},
    'functional': {'torch'},
    'losses': {'torch', 'mmengine', 'mmdet'},
    'heads': {'torch', 'mmengine', 'mmdet'},
}
"""What the core imports beside the standard library."""
BESIDE = {
    'demo': {'demo', 'tools'},
    'studies': {'studies', 'demo', 'tools'},
    'benchmarks': {'benchmarks', 'demo', 'tools'},
}
"""The folders beside the package: which of these folders they import. Nobody imports them."""


def imported(file: Path) -> set[str]:
    """The modules that a file imports, with their dots."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{file}: imports are absolute'
            names |= {f'{node.module}.{alias.name}' for alias in node.names}
    return names


def files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob('*.py')) or [PACKAGE / f'{room}.py']


@pytest.mark.parametrize('room', MAY_IMPORT)
def test_a_room_imports_no_room_above_it(room):
    found = {name for file in files(room) for name in imported(file)}
    rooms = {name.split('.')[1] for name in found if name.startswith('ghm_mmdet.')}
    assert rooms <= MAY_IMPORT[room]


@pytest.mark.parametrize('room', OUTSIDE)
def test_the_core_needs_no_other_packages(room):
    found = {name.split('.')[0] for file in files(room) for name in imported(file)}
    assert found - set(sys.stdlib_module_names) - {'ghm_mmdet'} <= OUTSIDE[room]


def test_every_room_has_its_rule():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').is_file()}
    assert rooms <= MAY_IMPORT.keys()


@pytest.mark.parametrize('folder', BESIDE)
def test_a_folder_beside_the_package_keeps_to_itself(folder):
    sources = (REPOSITORY / folder).rglob('*.py')
    found = {name.split('.')[0] for file in sources for name in imported(file)}
    assert found & {*BESIDE, 'tests', 'tools'} <= BESIDE[folder]


def test_the_package_loads_none_of_the_folders_beside_it():
    code = (
        'import sys, ghm_mmdet, ghm_mmdet.cli.train, ghm_mmdet.diagnosis.density_probe;'
        'print(*sorted({name.split(".")[0] for name in sys.modules}))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = set(done.stdout.split())
    assert 'ghm_mmdet' in loaded
    assert not loaded & {*BESIDE, 'problems', 'installed_packages', 'doctor', 'build_mmcv'}
