"""The shell scripts that start ranks: which command they run, and what they want."""

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def stubs(tmp_path):
    """A PATH on which srun and python print their arguments, one a line, instead of running."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('srun', 'python'):
        stub = folder / name
        stub.write_text(
            '#!/bin/sh\nprintf "%s\\n" "$(basename "$0")" "$@" "PYTHONPATH=$PYTHONPATH"\n'
        )
        stub.chmod(0o755)
    return f'{folder}:{os.environ["PATH"]}'


def run(name, *arguments, path, **environment):
    return subprocess.run(
        [REPOSITORY / 'tools' / name, *arguments],
        env={'PATH': path, **environment},
        capture_output=True,
        text=True,
        cwd='/',
    )


def test_slurm_train(stubs):
    done = run(
        'slurm_train.sh',
        *('gpu', 'a job', 'my config.py', 'runs/1', '--amp', '--cfg-options', 'a=[1,2]'),
        path=stubs,
        GPUS='16',
        SRUN_ARGS='--exclusive --time=2:00',
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'srun',
        '--partition=gpu',
        '--job-name=a job',
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        '--exclusive',
        '--time=2:00',
        'python',
        '-u',
        f'{REPOSITORY}/tools/train.py',
        'my config.py',
        *('--work-dir', 'runs/1', '--launcher', 'slurm'),
        *('--amp', '--cfg-options', 'a=[1,2]'),
        f'PYTHONPATH={REPOSITORY}',
    ]


@pytest.mark.parametrize(
    ('script', 'tool', 'files'),
    [
        ('dist_train.sh', 'train.py', ['my config.py']),
        ('dist_test.sh', 'test.py', ['my config.py', 'model.pth']),
    ],
)
def test_dist_scripts(stubs, script, tool, files):
    machines = dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='node0', PORT='1234', PYTHONPATH='/mine')
    done = run(script, *files, '4', '--work-dir', 'a b', path=stubs, **machines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'python',
        *('-m', 'torch.distributed.run'),
        '--nnodes=2',
        '--node-rank=1',
        '--nproc-per-node=4',
        '--master-addr=node0',
        '--master-port=1234',
        f'{REPOSITORY}/tools/{tool}',
        *files,
        *('--launcher', 'pytorch', '--work-dir', 'a b'),
        f'PYTHONPATH={REPOSITORY}:/mine',
    ]


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [
        ('slurm_train.sh', ['gpu', 'job', 'config.py']),
        ('dist_train.sh', ['config.py']),
        ('dist_test.sh', ['config.py', 'model.pth']),
    ],
)
def test_usage(stubs, script, arguments):
    done = run(script, *arguments, path=stubs)
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')
    assert done.stderr.count('\n') == 1
    assert done.stdout == ''
