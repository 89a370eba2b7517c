import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import build_mmcv
import pytest
from build_mmcv import Plan, build_variables, plan_build, run_with_heartbeat

from tests.setup.sites import REPOSITORY, make_site, run_in_site

# A source package that remembers what it was built for, as mmcv's does.
SETUP = """
import os
from pathlib import Path
from setuptools import setup

Path('mmcv').mkdir(exist_ok=True)
Path('mmcv/__init__.py').touch()
cuda = '13.0' if os.environ['FORCE_CUDA'] == '1' else 'not available'
Path('mmcv/ops.py').write_text('from types import SimpleNamespace as Kept; '
    'nms = lambda *arguments: (None, Kept(tolist=lambda: [0, 2]))')
Path('mmcv/_ext.py').write_text('get_compiling_cuda_version = lambda: ' + repr(cuda))
setup(name={name!r}, version={version!r}, packages=['mmcv'])
"""
TORCH_WITH_A_GPU = """
from types import SimpleNamespace

version = SimpleNamespace(cuda='13.0')
tensor = lambda values, device: values
cuda = SimpleNamespace(
    is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda index: 'a GPU'
)
"""
NVCC = '#!/bin/sh\necho "Cuda compilation tools, release 13.0, V13.0.88"\n'


@pytest.fixture(params=['onedl-mmcv==2.3.6', 'mmcv==2.1.0'])
def requirement(request):
    """The mmcv of either family."""
    return request.param


@pytest.fixture
def gpu_machine(tmp_path, requirement):
    """A new environment on a machine with a GPU, without network; runs the build in it."""
    name, version = requirement.split('==')
    source = tmp_path / f'{name.replace("-", "_")}-{version}'
    source.mkdir()
    (source / 'setup.py').write_text(SETUP.format(name=name, version=version))
    packages = tmp_path / 'packages'
    packages.mkdir()
    with tarfile.open(packages / f'{source.name}.tar.gz', 'w:gz') as archive:
        archive.add(source, source.name)
    nvcc = tmp_path / 'cuda' / 'bin' / 'nvcc'
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(NVCC)
    nvcc.chmod(0o755)
    hidden = ('mmcv', '*mmcv-*', 'torch')
    site = make_site(tmp_path / 'site', hidden, {'torch/__init__.py': TORCH_WITH_A_GPU})
    venv.create(tmp_path / 'venv', symlinks=True)
    variables = {
        'PATH': os.environ['PATH'],
        'PYTHONPATH': str(site),
        'PIP_NO_INDEX': '1',
        'PIP_FIND_LINKS': str(packages),
        'PIP_CACHE_DIR': str(tmp_path / 'cache'),
        'PIP_CONFIG_FILE': os.devnull,
    }

    def build(cuda_home: Path, *options: object) -> subprocess.CompletedProcess:
        script = REPOSITORY / 'tools/setup/build_mmcv.py'
        return subprocess.run(
            [tmp_path / 'venv/bin/python', script, requirement, *options],
            cwd=REPOSITORY,
            env={**variables, 'CUDA_HOME': str(cuda_home)},
            capture_output=True,
            text=True,
        )

    return build


def test_operators_follow_the_machine_and_no_stale_wheel_is_reused(
    gpu_machine, requirement, tmp_path
):
    without_nvcc = gpu_machine(tmp_path / 'nowhere')
    assert without_nvcc.returncode == 0, without_nvcc.stderr
    lines = without_nvcc.stdout.splitlines()
    assert lines[0].startswith(f'{requirement}: no prebuilt wheel that runs here on https://')
    assert 'a GPU: no CUDA operators' in lines[1]
    assert 'install nvcc of CUDA 13.0' in without_nvcc.stdout
    assert without_nvcc.stdout.endswith('its CPU operators run\n')

    with_nvcc = gpu_machine(tmp_path / 'cuda')
    assert with_nvcc.returncode == 0, with_nvcc.stderr
    assert 'The wheel in the cache of pip does not fit' in with_nvcc.stdout
    assert with_nvcc.stdout.endswith('its CUDA operators run\n')

    again = gpu_machine(tmp_path / 'cuda')
    assert again.stdout == f'{requirement} is installed, its CUDA operators run\n'


def test_a_prebuilt_wheel_is_taken_where_its_operators_run(gpu_machine, requirement, tmp_path):
    assert gpu_machine(tmp_path / 'cuda').returncode == 0
    (wheel,) = (tmp_path / 'cache').rglob('*.whl')
    shelf = tmp_path / 'shelf'
    shelf.mkdir()
    wheel.rename(shelf / wheel.name)
    for folder in (tmp_path / 'venv').glob('lib/python*/site-packages/*mmcv*'):
        shutil.rmtree(folder)
    # without nvcc, which would compile
    again = gpu_machine(tmp_path / 'nowhere', '--wheels', shelf)
    assert again.stdout == f'{requirement} is installed, its CUDA operators run\n'


@pytest.mark.parametrize(
    ('requirement', 'machine', 'page'),
    [
        ('onedl-mmcv==2.3.6', ('2.10.0+cpu', None, None), 'onedl.ai/cpu-torch2100/simple/'),
        ('onedl-mmcv==2.3.6', ('2.8.0', '12.8', 'a GPU'), 'onedl.ai/cu128-torch280/simple/'),
        ('mmcv==2.1.0', ('2.1.2', '12.1', 'a GPU'), 'dist/cu121/torch2.1.0/index.html'),
        ('mmcv==2.1.0', ('2.1.2', '12.1', None), 'dist/cpu/torch2.1.0/index.html'),
    ],
)
def test_the_page_of_prebuilt_wheels_is_that_of_torch_and_the_gpu(requirement, machine, page):
    assert page in build_mmcv.wheels_page(requirement, *machine)


@pytest.mark.parametrize(
    ('gpu', 'torch_cuda', 'nvcc', 'cuda'),
    [
        (None, '13.0', '13.0', False),
        (None, None, None, False),
        ('a GPU', '13.0', '13.0', True),
        ('a GPU', '13.0', None, False),
        ('a GPU', '13.0', '12.8', False),
    ],
)
def test_plan_needs_a_gpu_and_a_fitting_compiler(gpu, torch_cuda, nvcc, cuda):
    plan = plan_build(gpu, torch_cuda, nvcc)
    assert plan.cuda is cuda
    assert bool(plan.note) is (gpu is not None and not cuda)
    assert '\n' not in plan.note


def test_a_build_for_the_cpu_hides_the_gpu_whatever_was_asked_for_before():
    inherited = {'PATH': '/usr/bin', 'FORCE_CUDA': '1', 'MAX_JOBS': '1', 'CPPFLAGS': '-DX'}
    variables = build_variables(Plan(cuda=False), inherited)
    assert variables['CUDA_VISIBLE_DEVICES'] == ''
    assert variables['FORCE_CUDA'] == '0'
    assert variables['MAX_JOBS'] == '1'
    assert variables['CPPFLAGS'].startswith('-DX ')
    assert variables['PATH'].split(':') == [str(Path(sys.executable).parent), '/usr/bin']


def test_without_torch_the_build_asks_for_it_in_one_line(tmp_path):
    site = make_site(tmp_path / 'site', hidden=('torch',))
    result = run_in_site(site, 'tools/setup/build_mmcv.py')
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith('torch has to be installed first: ')


def test_a_torch_that_does_not_import_is_named_in_one_line(tmp_path):
    broken = {'torch/__init__.py': 'raise OSError("libcudart.so.12:\\n  no such file")'}
    site = make_site(tmp_path / 'site', stubs=broken)
    result = run_in_site(site, 'tools/setup/build_mmcv.py')
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert 'cannot be imported (libcudart.so.12: no such file): ' in line
    assert '--force-reinstall' in line


@pytest.mark.parametrize('asked', ['onedl-mmcv>>2', 'numpy'])
def test_a_requirement_that_is_no_mmcv_is_refused_in_one_line(tmp_path, asked):
    site = make_site(tmp_path / 'site')
    result = run_in_site(site, 'tools/setup/build_mmcv.py', asked)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"requirement='{asked}': must be an mmcv, such as ")


def test_heartbeat_tells_how_far_the_compiler_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build_mmcv, 'HEARTBEAT_SECONDS', 0.2)
    log = tmp_path / 'log'
    script = 'echo "  [3/78] c++ nms.cpp"; sleep 2; echo end; exit 5'
    assert run_with_heartbeat(['sh', '-c', script], dict(os.environ), log) == 5
    assert '3 of 78 files compiled' in capsys.readouterr().out
    assert log.read_text().endswith('end\n')
