import re
import sys
from importlib.metadata import version

import pytest

from ghm_mmdet import environment, probes
from ghm_mmdet.environment import EnvironmentProblem, advice, blockers, cuda_build_obstacle
from tests.sites import BROKEN, BUILD_MMCV, NO_OPERATORS, REPOSITORY, make_site, run_in_site

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


def pins() -> dict[str, str]:
    files = (REPOSITORY / 'requirements').glob('*.txt')
    lines = [line for path in files for line in path.read_text().splitlines()]
    return dict(line.split('==') for line in lines if line and not line.startswith('#'))


def test_what_is_pinned_is_what_the_messages_name():
    pinned = pins()
    assert {name: pinned[name] for name in probes.TESTED} == probes.TESTED


@pytest.mark.parametrize('name', sorted(pins()))
def test_pinned_packages_find_all_that_they_require(name):
    unmet = [
        str(requirement)
        for requirement in probes.requirements(name)
        if not any(map(requirement.specifier.contains, probes.releases(requirement.name).values()))
    ]
    assert unmet == []


def test_upstream_packages_are_completed_by_upstream_packages(monkeypatch):
    present = {'mmengine': {'mmengine': '0.10.7'}}
    monkeypatch.setattr(probes, 'installed', lambda module: present.get(module, {}))
    assert probes.wanted('mmdet').startswith('mmdet==')
    assert probes.wanted('mmcv').startswith('mmcv>=')
    assert re.fullmatch(r'numpy==[\d.]+', probes.wanted('numpy'))
