"""Bad input to the tools: status 1, one line on stderr, nothing built, written or lost."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from ghm_mmdet.mm_patches import SAFE_ONLY, UNSAFE_TOO
from tests.tools.broken_inputs import BROKEN

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def folder(small_config, tmp_path, monkeypatch):
    """Where ``small.py`` is, with a training that has got somewhere."""
    checkpoints = tmp_path / 'work_dirs' / 'small'
    checkpoints.mkdir(parents=True)
    torch.save({'state_dict': {}}, checkpoints / 'epoch_1.pth')
    monkeypatch.chdir(tmp_path)
    # set by the tools, for their own process; undone with the rest
    for name in (SAFE_ONLY, UNSAFE_TOO, 'LOCAL_RANK'):
        monkeypatch.setenv(name, '0')
    return tmp_path


def contents(folder):
    return {path: path.is_file() and path.read_bytes() for path in sorted(folder.rglob('*'))}


@pytest.fixture
def broken(folder, request):
    """The case, and a check that it has left everything as it was."""
    case = BROKEN[request.param]
    if case.make:
        case.make(folder)
    before = contents(folder)
    yield case
    assert contents(folder) == before


def check_line(line, case):
    assert line.startswith('error: ')
    assert case.message in line
    assert '\n' not in line.strip()


@pytest.mark.parametrize('broken', BROKEN, indirect=True)
def test_one_line_and_nothing_touched(broken, monkeypatch):
    tool = broken.tool if '.' in broken.tool else str(TOOLS / f'{broken.tool}.py')
    monkeypatch.setattr(sys, 'argv', [tool, *broken.arguments])
    run = runpy.run_module if '.' in broken.tool else runpy.run_path
    with pytest.raises(SystemExit) as end:
        run(tool, run_name='__main__')
    # a text as its code is what Python prints, with status 1
    check_line(end.value.code, broken)


@pytest.mark.long
@pytest.mark.parametrize('broken', BROKEN, indirect=True)
def test_the_same_of_the_real_tool(broken, run_tool):
    tool = broken.tool if '.' in broken.tool else f'{broken.tool}.py'
    done = run_tool(tool, *broken.arguments)
    assert done.returncode == 1
    assert 'Traceback' not in done.stdout + done.stderr
    check_line(done.stderr.splitlines()[-1], broken)


def test_debug_shows_the_traceback(run_tool):
    done = run_tool('train.py', 'none.py', '--debug')
    assert done.returncode == 1
    assert 'Traceback' in done.stderr
    assert done.stderr.strip().endswith('ConfigError: config none.py: no such file')
