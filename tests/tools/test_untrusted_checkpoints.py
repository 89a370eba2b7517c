"""Checkpoints that run code when they are loaded, through every tool that loads one."""

import functools
import http.server
import os
import threading

import pytest
import torch

TOOLS = {
    'test': ('test.py', 'small.py', '{checkpoint}'),
    'resume': ('train.py', 'small.py', '--resume', '{checkpoint}'),
    'load_from': ('train.py', 'small.py', '--cfg-options', 'load_from={checkpoint}'),
    'analyze_gradients': ('analyze_gradients.py', 'small.py', '{checkpoint}'),
    'loss_balance': ('loss_balance.py', 'small.py', '{checkpoint}'),
}
QUICK = ('test', 'load_from')


class Program:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path):
    return tmp_path / 'it_ran'


@pytest.fixture(params=[True, pytest.param(False, marks=pytest.mark.long)], ids=['zip', 'pickle'])
def program(request, tmp_path, trace):
    """A checkpoint that leaves a trace."""
    path = tmp_path / 'served' / 'program.pth'
    path.parent.mkdir()
    content = {'state_dict': {}, 'meta': Program(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=request.param)
    return path


@pytest.mark.parametrize(
    'arguments',
    [pytest.param(TOOLS[each], marks=() if each in QUICK else pytest.mark.long) for each in TOOLS],
    ids=TOOLS,
)
def test_it_does_not_run(small_config, run_tool, program, trace, arguments):
    done = run_tool(*(each.format(checkpoint=program) for each in arguments))
    assert not trace.exists()
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith('error: ')
    assert f'{program}: holds more than weights, posix.mkdir, ' in line
    assert '--trust-checkpoint' in line


@pytest.mark.long
@pytest.mark.parametrize('arguments', TOOLS.values(), ids=TOOLS)
def test_it_runs_where_it_is_trusted(small_config, run_tool, program, trace, arguments):
    """So that the test above is one of a program that would have run."""
    name, *rest = (each.format(checkpoint=program) for each in arguments)
    run_tool(name, '--trust-checkpoint', *rest)
    assert trace.exists()


@pytest.fixture
def address(program):
    """Where a server on this machine has the checkpoint."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(program.parent))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}/{program.name}'
        server.shutdown()


def test_it_does_not_run_when_it_is_fetched(small_config, run_tool, address, trace, tmp_path):
    done = run_tool('test.py', 'small.py', address, TORCH_HOME=str(tmp_path / 'cache'))
    assert not trace.exists()
    assert done.returncode == 1
    assert 'holds more than weights' in done.stderr.splitlines()[-1]
    assert list((tmp_path / 'cache').rglob('program.pth'))  # it was fetched


@pytest.mark.long
def test_what_a_training_leaves_needs_no_trust(small_config, run_tool, tmp_path):
    for arguments in (
        ('train.py', 'small.py', '--work-dir', 'run'),
        ('train.py', 'small.py', '--work-dir', 'run', '--resume'),
        ('test.py', 'small.py', 'run/epoch_1.pth'),
        ('analyze_gradients.py', 'small.py', 'run/epoch_1.pth', '--out', 'pictures'),
        ('loss_balance.py', 'small.py', 'run/epoch_1.pth'),
    ):
        done = run_tool(*arguments)
        assert done.returncode == 0, done.stderr[-3000:]
