"""The import of the package, and the doctor's problems, in broken environments."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, requires, version

import installed_packages
import problems
import pytest
import torch
from installed_packages import PROVIDERS, TESTED, family, installed, wanted
from packaging.requirements import Requirement
from problems import advice, blockers, cuda_build_obstacle
from torch.torch_version import TorchVersion

from ghm_mmdet import environment
from tests.setup.sites import (
    ANOTHER_NUMPY,
    BROKEN,
    BUILD_MMCV,
    FAMILY,
    NO_OPERATORS,
    REPOSITORY,
    make_site,
    run_in_site,
)

IMPORT_AS_CONFIGS_DO = (
    'from mmengine.utils import import_modules_from_strings as load; load(["ghm_mmdet"])'
)


@pytest.mark.parametrize('name', BROKEN)
def test_the_doctor_says_what_is_wrong_and_what_repairs_it(name, tmp_path):
    hidden, stubs, summary, fix = BROKEN[name]
    site = make_site(tmp_path / 'site', hidden, stubs)
    result = run_in_site(site, 'tools/setup/doctor.py')
    assert (result.returncode, result.stderr) == (1, '')
    lines = result.stdout.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith('problem: '))
    problem, repair = lines[first : first + 2]
    assert summary in problem
    assert fix in repair
    back_end = next(line for line in result.stdout.splitlines() if line.startswith('back end'))
    assert 'unknown' in back_end


# The module that the import names; None where the import succeeds, as it does without mmdet. Of
# wrong metadata only OneDL's mmengine takes notice.
NAMED = {
    'torch is missing': 'torch',
    'mmengine is missing': 'mmengine',
    'mmdet is missing': None,
    'mmcv is missing': 'mmcv',
    'cv2 is missing': 'cv2',
    'mmcv has no operators': 'mmcv._ext',
    'operators of another torch': 'mmcv._ext',
    'mmdet of OpenMMLab beside a newer mmcv': 'mmengine' if FAMILY else None,
    'no libGL': 'cv2',
    'numpy of another ABI': 'cv2',
    'a dependency is missing': 'mmengine',
}


@pytest.mark.parametrize('name', BROKEN)
def test_the_import_ends_in_a_line_that_names_the_module_and_the_doctor(name, tmp_path):
    hidden, stubs, _, _ = BROKEN[name]
    site = make_site(tmp_path / 'site', hidden, stubs)
    result = run_in_site(site, '-c', 'import ghm_mmdet')
    module = NAMED[name]
    if module is None:
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    reason = f'ImportError: ghm_mmdet cannot be imported: {module} cannot be imported ('
    assert line.startswith(reason)
    assert line.endswith(f'for the repair run: {sys.executable} {environment.doctor()}')


def test_custom_imports_of_a_config_show_the_same_line(tmp_path):
    site = make_site(tmp_path / 'site', stubs=NO_OPERATORS)
    result = run_in_site(site, '-c', IMPORT_AS_CONFIGS_DO)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if 'ImportError: ghm_mmdet' in line]
    assert 'mmcv._ext cannot be imported' in line
    assert line.endswith('doctor.py')


@pytest.mark.parametrize(
    ('failing', 'error', 'fix'),
    [
        ('mmengine', ModuleNotFoundError('no yaml', name='yaml'), 'pip install PyYAML'),
        ('mmdet', ModuleNotFoundError('no image', name='PIL.Image'), 'pip install pillow'),
        (
            'mmengine',
            ModuleNotFoundError('no resources', name='pkg_resources'),
            "pip install 'setuptools<81'",
        ),
        (
            'mmdet',
            ModuleNotFoundError("No module named 'numpy._core'", name='numpy._core'),
            f'pip install {ANOTHER_NUMPY}',
        ),
        ('mmdet', ModuleNotFoundError('without a name'), '--force-reinstall --no-deps'),
        ('mmcv', AttributeError('half installed'), BUILD_MMCV),
    ],
    ids=['yaml', 'PIL', 'pkg_resources', 'numpy', 'no name', 'mmcv'],
)
def test_the_repair_of_a_failed_import_names_what_can_be_installed(
    failing, error, fix, monkeypatch
):
    def fail(module):
        if module == failing:
            raise error

    monkeypatch.setattr(problems, 'import_module', fail)
    (problem,) = blockers()
    assert fix in problem.fix


def test_a_torch_that_is_too_old_is_named_with_the_oldest_that_will_do(monkeypatch):
    monkeypatch.setattr(torch, '__version__', TorchVersion('1.13.1'))
    with pytest.raises(ImportError, match=r'torch 1\.13\.1 is too old, 2\.0 is needed') as raised:
        environment.require()
    assert '\n' not in str(raised.value)


def test_the_doctor_imports_the_package_itself(tmp_path):
    site = make_site(tmp_path / 'site', stubs={'ghm_mmdet/__init__.py': 'import no_such_module'})
    result = run_in_site(site, 'tools/setup/doctor.py')
    assert result.returncode == 1
    assert "problem: ghm_mmdet cannot be imported (No module named 'no_such" in result.stdout


def test_nothing_blocks_where_the_tests_run():
    assert list(blockers()) == []
    environment.require()
    assert environment.doctor().is_file()


@pytest.fixture
def add_distribution(monkeypatch, tmp_path):
    """Let a distribution be found before the installed ones."""

    def add(name: str, release: str, requirement: str) -> None:
        metadata = tmp_path / f'{name}-{release}.dist-info' / 'METADATA'
        metadata.parent.mkdir()
        metadata.write_text(
            f'Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n'
            f'Requires-Dist: {requirement}\n'
        )
        monkeypatch.syspath_prepend(tmp_path)

    return add


def test_two_opencv_packages_are_reported_with_both_names(add_distribution):
    headless = version('opencv-python-headless')
    add_distribution('opencv_python', headless, 'numpy')
    (problem,) = [each for each in advice() if 'cv2' in each.summary]
    assert 'uninstall -y opencv-python-headless opencv-python &&' in problem.fix
    assert problem.fix.endswith(f'install --no-deps opencv-python-headless=={headless}')


@pytest.mark.parametrize('nvcc', ['13.0', None])
def test_cpu_operators_beside_a_gpu_are_reported(monkeypatch, nvcc):
    monkeypatch.setattr(problems, 'gpu_names', lambda: ['NVIDIA H100'])
    monkeypatch.setattr(problems, 'ops_cuda_version', lambda: None)
    monkeypatch.setattr(problems, 'torch_cuda_version', lambda: '13.0')
    monkeypatch.setattr(problems, 'nvcc_version', lambda: nvcc)
    (problem,) = [each for each in advice() if 'NVIDIA H100' in each.summary]
    assert problem.fix.endswith(BUILD_MMCV)
    assert ('install nvcc of CUDA 13.0' in problem.fix) is (nvcc is None)


@pytest.mark.parametrize(
    ('torch_cuda', 'nvcc', 'obstacle'),
    [
        ('13.0', '13.0', None),
        ('13.0', '13.2', None),
        ('13.0', '12.8', 'this one is 12.8'),
        ('13.0', None, 'install nvcc of CUDA 13.0'),
        (None, '13.0', 'install a torch with CUDA'),
    ],
)
def test_obstacles_to_cuda_operators(torch_cuda, nvcc, obstacle):
    found = cuda_build_obstacle(torch_cuda, nvcc)
    assert found is None if obstacle is None else obstacle in found


FILES = {
    'onedl': ('build', 'torch', 'dev', 'python3.10', 'mmcv', 'packages', 'notebook'),
    'openmmlab': ('build', 'torch-classic', 'mmcv-classic', 'classic'),
}


def pinned(*names: str) -> list[Requirement]:
    """The lines of files of requirements/."""
    files = [REPOSITORY / 'requirements' / f'{name}.txt' for name in names]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def pins(family: str) -> dict[str, str]:
    """The version of every package that a family is tested with, on this Python."""
    lines = [each for each in pinned(*FILES[family]) if not each.marker or each.marker.evaluate()]
    assert len({each.name for each in lines}) == len(lines)
    return {each.name: str(each.specifier).strip('=') for each in lines}


@pytest.mark.parametrize('family', FILES)
def test_what_is_pinned_is_what_the_messages_name(family):
    tested = TESTED[family]
    assert {name: pins(family)[name] for name in tested} == tested


def releases(name: str) -> list[str]:
    """The installed releases of a distribution, or of those that install the same module."""
    module = next((key for key, names in PROVIDERS.items() if name in names), None)
    if module:
        return list(installed(module).values())
    try:
        return [version(name)]
    except PackageNotFoundError:
        return []


@pytest.mark.parametrize('name', sorted(pins(family())))
def test_pinned_packages_find_all_that_they_require(name):
    required = [
        requirement
        for requirement in map(Requirement, requires(name) or ())
        if not requirement.marker or requirement.marker.evaluate({'extra': ''})
    ]
    unmet = [
        str(requirement)
        for requirement in required
        if not any(map(requirement.specifier.contains, releases(requirement.name)))
    ]
    assert unmet == []


@pytest.mark.parametrize(
    ('family', 'python'),
    [
        *(('onedl', python) for python in ('3.10', '3.11', '3.12', '3.13')),
        *(('openmmlab', python) for python in ('3.8', '3.9', '3.10')),
    ],
)
def test_every_python_has_one_pin_for_each_package(family, python):
    lines = pinned(*FILES[family])
    on = {'python_version': python, 'python_full_version': f'{python}.0'}
    names = [each.name for each in lines if not each.marker or each.marker.evaluate(on)]
    assert len(names) == len(set(names))
    # what only one of them needs has a marker without a counterpart
    everywhere = {each.name for each in pinned('packages', 'dev')} if family == 'onedl' else set()
    assert everywhere <= set(names)


def test_upstream_packages_are_completed_by_upstream_packages(monkeypatch):
    present = {'mmengine': {'mmengine': '0.10.7'}}
    monkeypatch.setattr(installed_packages, 'installed', lambda module: present.get(module, {}))
    assert wanted('mmdet') == f'mmdet=={TESTED["openmmlab"]["mmdet"]}'
    assert wanted('mmcv') == f'mmcv=={TESTED["openmmlab"]["mmcv"]}'
    assert wanted('numpy') == f'numpy=={TESTED["openmmlab"]["numpy"]}'


def test_mmengine_without_pkg_resources_is_reported(monkeypatch):
    monkeypatch.setattr(problems, 'installed', lambda module: {module: '0.10.7'})
    monkeypatch.setattr(problems, 'find_spec', lambda module: None)
    (problem,) = [each for each in advice() if 'pkg_resources' in each.summary]
    assert problem.fix.endswith("install 'setuptools<81'")
