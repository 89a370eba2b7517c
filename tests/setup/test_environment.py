import sys
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from problems import EnvironmentProblem, advice, blockers, cuda_build_obstacle

from ghm_mmdet import environment, probes
from tests.setup.sites import BROKEN, BUILD_MMCV, NO_OPERATORS, REPOSITORY, make_site, run_in_site

IMPORT_PLUGIN = 'import ghm_mmdet'
IMPORT_AS_CONFIGS_DO = (
    'from mmengine.utils import import_modules_from_strings as load; load(["ghm_mmdet"])'
)


@pytest.mark.parametrize('name', BROKEN)
def test_import_of_the_plugin_says_in_one_line_what_is_wrong_and_what_repairs_it(name, tmp_path):
    hidden, stubs, summary, fix = BROKEN[name]
    site = make_site(tmp_path / 'site', hidden, stubs)
    result = run_in_site(site, '-c', IMPORT_PLUGIN)
    assert result.returncode == 1
    assert result.stdout == ''
    (line,) = result.stderr.splitlines()
    assert summary in line
    assert fix in line.partition('to fix it:')[2]


def test_custom_imports_of_a_config_end_in_the_same_line(tmp_path):
    site = make_site(tmp_path / 'site', stubs=NO_OPERATORS)
    directly = run_in_site(site, '-c', IMPORT_PLUGIN)
    by_config = run_in_site(site, '-c', IMPORT_AS_CONFIGS_DO)
    assert by_config.stderr == directly.stderr


def test_a_failed_requirement_is_an_import_error_and_hides_no_other_error(monkeypatch, capsys):
    problem = environment.Problem('mmdet is not installed', 'install it')
    monkeypatch.setattr(environment, 'blockers', lambda: iter([problem]))
    monkeypatch.setattr(sys, 'excepthook', sys.__excepthook__)
    with pytest.raises(ImportError, match='mmdet is not installed'):
        environment.require()
    try:
        try:
            raise EnvironmentProblem('handled by the caller')
        except ImportError:
            raise KeyError('what the caller did next') from None
    except KeyError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    assert 'what the caller did next' in capsys.readouterr().err


def test_nothing_blocks_where_the_tests_run():
    assert list(blockers()) == []
    environment.require()


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


def test_a_package_that_asks_for_another_numpy_is_reported(add_distribution):
    add_distribution('pycocotools', '2.0.11', 'numpy<1.20')
    (problem,) = [each for each in advice() if each.summary.startswith('pycocotools')]
    numpy = version('numpy')
    assert problem.summary == f'pycocotools needs numpy<1.20, but numpy {numpy} is installed'
    assert problem.fix.endswith("pip install 'numpy<1.20'")


@pytest.mark.parametrize('nvcc', ['13.0', None])
def test_cpu_operators_beside_a_gpu_are_reported(monkeypatch, nvcc):
    monkeypatch.setattr(environment, 'gpu_names', lambda: ['NVIDIA H100'])
    monkeypatch.setattr(environment, 'ops_cuda_version', lambda: None)
    monkeypatch.setattr(environment, 'torch_cuda_version', lambda: '13.0')
    monkeypatch.setattr(environment, 'nvcc_version', lambda: nvcc)
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
    'onedl': ('build', 'torch', 'dev', 'python3.10', 'mmcv', 'packages'),
    'openmmlab': ('build', 'torch', 'dev', 'python3.10', 'mmcv-openmmlab', 'openmmlab'),
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
    return {each.name: str(each.specifier).removeprefix('==') for each in lines}


@pytest.mark.parametrize('family', FILES)
def test_what_is_pinned_is_what_the_messages_name(family):
    tested = probes.TESTED[family]
    assert {name: pins(family)[name] for name in tested} == tested


@pytest.mark.parametrize('name', sorted(pins(probes.family())))
def test_pinned_packages_find_all_that_they_require(name):
    unmet = [
        str(requirement)
        for requirement in probes.requirements(name)
        if not any(map(requirement.specifier.contains, probes.releases(requirement.name).values()))
    ]
    assert unmet == []


def test_families_differ_in_no_more_than_they_have_to():
    onedl, openmmlab = (
        {each.name: str(each) for each in pinned(name)} for name in ('packages', 'openmmlab')
    )
    shared = onedl.keys() & openmmlab.keys()
    differing = {name for name in shared if onedl[name] != openmmlab[name]}
    assert differing == {'numpy', 'opencv-python-headless'}
    assert openmmlab.keys() - shared == {'mmengine', 'mmdet'}


def test_python_3_10_has_a_pin_for_each_that_has_left_it():
    newer = [each for each in pinned('packages', 'openmmlab', 'dev') if each.marker]
    older = {each.name: each for each in pinned('python3.10')}
    assert {str(each.marker) for each in newer} == {'python_version >= "3.11"'}
    assert {str(each.marker) for each in older.values()} == {'python_version < "3.11"'}
    assert {each.name for each in newer} <= older.keys()


def test_upstream_packages_are_completed_by_upstream_packages(monkeypatch):
    present = {'mmengine': {'mmengine': '0.10.7'}}
    monkeypatch.setattr(probes, 'installed', lambda module: present.get(module, {}))
    assert probes.wanted('mmdet') == f'mmdet=={probes.TESTED["openmmlab"]["mmdet"]}'
    assert probes.wanted('mmcv') == f'mmcv=={probes.TESTED["openmmlab"]["mmcv"]}'
    assert probes.wanted('numpy') == f'numpy=={probes.TESTED["openmmlab"]["numpy"]}'


def test_mmengine_without_pkg_resources_is_reported(monkeypatch):
    monkeypatch.setattr(environment, 'release', {'mmengine': '0.10.7'}.get)
    monkeypatch.setattr(environment, 'find_spec', lambda module: None)
    (problem,) = [each for each in advice() if 'pkg_resources' in each.summary]
    assert 'mmengine 0.10.7' in problem.summary
    assert problem.fix.endswith("install 'setuptools<81'")
