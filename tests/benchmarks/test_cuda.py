"""The command for a CUDA machine, where there is none: its steps, its environment, its wheels."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from benchmarks import cuda, cuda_environment, wheels
from benchmarks.cuda import Step, plan, run


def python(code, seconds=30.0, name='step'):
    return Step(name, [sys.executable, '-c', code], seconds)


def test_every_step_runs_whatever_becomes_of_the_others(capfd):
    outcomes = run(
        [
            python('raise SystemExit(3)'),
            Step('missing', ['no-such-command-anywhere'], 30.0),
            python('import time; time.sleep(60)', seconds=0.5),
            python('print("reached")'),
        ]
    )
    assert [outcome.state.split(':')[0] for outcome in outcomes] == [
        'failed with exit code 3',
        'failed',
        'stopped after 0 s',
        'done',
    ]
    assert 'reached' in capfd.readouterr().out


def test_what_a_stopped_step_has_started_ends_with_it(tmp_path):
    file = tmp_path / 'late'
    child = f'import time; time.sleep(2); open({str(file)!r}, "w")'
    code = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {child!r}])'
    run([python(code, seconds=0.8), python('import time; time.sleep(2.5)')])
    assert not file.exists()


def test_a_step_ends_with_the_program_that_runs_it(monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            started.append(self)
            if timeout is not None:
                raise KeyboardInterrupt
            return super().wait()

    monkeypatch.setattr(subprocess, 'Popen', Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run([python('import time; time.sleep(60)')])
    assert started[0].returncode == -signal.SIGKILL


def test_no_step_starts_once_the_time_is_over():
    outcomes = run([python('import time; time.sleep(60)'), python('')], most_seconds=0.5)
    assert [outcome.state for outcome in outcomes] == ['stopped after 0 s', 'no time was left']


def test_every_command_of_the_plan_exists(tmp_path):
    steps = plan(tmp_path, wheels=tmp_path, backend='triton', results=tmp_path)
    for step in steps:
        name = step.command[step.command.index('-m') + 1]
        assert find_spec(name) is not None, name
    assert sum(step.seconds for step in steps if step.name != 'tests') < 1.3 * cuda.MOST_SECONDS
    assert all((cuda.ROOT / each).exists() for each in cuda.TESTS)


def test_the_choice_of_tests_finds_those_that_need_a_gpu():
    pytest.importorskip('triton.runtime.interpreter', reason='needs Triton 3')
    command = plan(Path('x'))[-1].command
    collect = [sys.executable, *command[1:], '--collect-only']
    done = subprocess.run(collect, cwd=cuda.ROOT, capture_output=True, text=True)
    assert 'test_nothing_waits_for_the_device_and_a_graph_captures_it' in done.stdout


def test_an_environment_sees_the_packages_of_the_python_that_made_it(tmp_path):
    python = cuda_environment.make_environment(
        tmp_path / 'environment', cuda_environment.site_folders()
    )
    code = 'import sys, importlib.util as u; print(sys.prefix, u.find_spec("torch").origin)'
    done = subprocess.run([python, '-c', code], capture_output=True, text=True, check=True)
    import torch

    assert done.stdout.split() == [str(tmp_path / 'environment'), torch.__file__]


def test_its_own_packages_come_before_the_inherited(tmp_path):
    inherited = tmp_path / 'inherited'
    inherited.mkdir()
    python = cuda_environment.make_environment(tmp_path / 'environment', [str(inherited)])
    own = cuda_environment.own_site(tmp_path / 'environment')
    for folder in (inherited, own):
        (folder / 'twice.py').write_text(f'print({folder.name!r})')
    done = subprocess.run([python, '-c', 'import twice'], capture_output=True, text=True)
    assert done.stdout.strip() == own.name


def test_only_what_is_missing_is_installed():
    pins = ['addict==2.4.0', 'lazy-loader==0.6', 'opencv-python-headless==4.12.0.88', 'ruff==1']
    there = ['Lazy_Loader', 'opencv-contrib-python']
    assert cuda_environment.missing(pins, there) == ['addict==2.4.0']
    assert cuda_environment.missing(pins, []) == pins[:3]


def test_every_pin_of_the_requirements_is_read():
    lines = cuda_environment.read_requirements('packages.txt', 'dev.txt', 'build.txt')
    names = list(map(cuda_environment.name_of, lines))
    assert {'onedl-mmengine', 'onedl-mmdetection', 'pytest', 'setuptools'} <= set(names)
    assert len(set(lines)) == len(lines)


def test_wheels_leave_out_what_the_machine_has(tmp_path):
    everything = wheels.commands(tmp_path, '3.12', [])
    some = wheels.commands(tmp_path, '3.12', ['SciPy', 'numpy'])
    assert {cuda_environment.name_of(each) for each in {*everything} - {*some}} == {
        'scipy',
        'numpy',
    }


@pytest.mark.parametrize(('python', 'release'), [('3.10', '<'), ('3.12', '>=')])
def test_wheels_are_those_for_the_other_machines_python(tmp_path, python, release):
    pins = [
        line
        for line in cuda_environment.read_requirements(*cuda_environment.PINS)
        if line.startswith('scipy==') and f"python_version {release} '3.11'" in line
    ]
    found = [each for each in wheels.commands(tmp_path, python, []) if each.startswith('scipy==')]
    assert found == [line.partition(';')[0] for line in pins]
    assert len(found) == 1


def test_mmcv_travels_as_source(tmp_path):
    (mmcv,) = cuda_environment.read_requirements('mmcv.txt')
    (call,) = wheels.commands(tmp_path, '3.12', [])[mmcv]
    assert f'--no-binary={cuda_environment.name_of(mmcv)}' in call


@pytest.fixture
def stand_in():
    """The module that takes the place of mmcv's compiled one."""
    spec = spec_from_file_location('stand_in', cuda_environment.STAND_IN)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_operators_that_were_not_compiled_are_there_and_raise(stand_in):
    assert hasattr(stand_in, 'nms')
    with pytest.raises(NotImplementedError, match='nms: this operator of mmcv'):
        stand_in.nms()
    assert not hasattr(stand_in, '__path__')


def test_the_compiled_operator_is_handed_on(stand_in, monkeypatch):
    class Compiled:
        sigmoid_focal_loss_forward = 'compiled'

    monkeypatch.setattr(stand_in, '_compiled', Compiled)
    assert stand_in.sigmoid_focal_loss_forward == 'compiled'
    with pytest.raises(NotImplementedError):
        stand_in.sigmoid_focal_loss_backward()
