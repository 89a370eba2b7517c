"""Trainings that are killed at a random moment and resumed, against one that was left alone."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import mmdet
import pytest
import torch

from tests.processes import REPOSITORY, environment, wait_for_checkpoint

SCRIPTS = {
    'this repository': REPOSITORY / 'tools' / 'train.py',
    'mmdet': Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py',
}
EPOCHS = 5


def command(owner, config, work_dir, workers):
    persistent = workers > 0
    return [
        *(sys.executable, str(SCRIPTS[owner]), str(config)),
        *('--work-dir', str(work_dir), '--resume'),
        '--cfg-options',
        f'train_cfg.max_epochs={EPOCHS}',
        f'train_cfg.val_interval={EPOCHS}',
        f'train_dataloader.num_workers={workers}',
        f'train_dataloader.persistent_workers={persistent}',
        'train_dataloader.batch_size=2',
        'default_hooks.checkpoint.max_keep_ckpts=2',
        'default_hooks.logger.interval=1',
    ]


def train_to_its_end(*arguments):
    done = subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def train_until_killed(owner, config, work_dir, workers, chance):
    """Kill the processes some time after their next checkpoint; False if they ended before."""
    before = set(work_dir.glob('epoch_*.pth'))
    process = subprocess.Popen(
        command(owner, config, work_dir, workers),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for_checkpoint(process, work_dir, known=before)
    time.sleep(chance.uniform(0, 0.5))
    was_running = process.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


def losses(work_dir):
    """What was logged of each iteration; where it was trained more than once, each time."""
    logged = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line) if line.endswith('}') else {}
            if 'loss' in entry:
                parts = {name: entry[name] for name in entry if name.startswith('loss')}
                logged.setdefault(entry['step'], []).append(parts)
    return logged


@pytest.mark.parametrize(
    ('owner', 'kills', 'workers'),
    [
        ('this repository', 1, 2),
        pytest.param('mmdet', 1, 0, marks=pytest.mark.long),
        pytest.param('this repository', 4, 0, marks=pytest.mark.long),
        pytest.param('this repository', 4, 2, marks=pytest.mark.long),
        pytest.param('mmdet', 4, 2, marks=pytest.mark.long),
    ],
)
def test_a_killed_run_ends_where_an_unharmed_one_ends(
    small_config, tmp_path, owner, kills, workers
):
    """Bit by bit: weights, moving averages, and the losses of every iteration that was repeated."""
    train_to_its_end(owner, small_config, tmp_path / 'unharmed', workers)
    chance, killed = random.Random(kills), tmp_path / 'killed'
    hits = [train_until_killed(owner, small_config, killed, workers, chance) for _ in range(kills)]
    assert any(hits)
    train_to_its_end(owner, small_config, killed, workers)

    expected, resumed = losses(tmp_path / 'unharmed'), losses(killed)
    assert expected.keys() == resumed.keys() == set(range(1, 4 * EPOCHS + 1))
    for step, each in resumed.items():
        assert all(again == expected[step][0] for again in each), step
    ends = [
        torch.load(folder / f'epoch_{EPOCHS}.pth', weights_only=False)
        for folder in (tmp_path / 'unharmed', killed)
    ]
    averages = [name for name in ends[0]['state_dict'] if name.endswith('moving_average')]
    assert averages
    torch.testing.assert_close(ends[0]['state_dict'], ends[1]['state_dict'], rtol=0, atol=0)
    torch.testing.assert_close(
        ends[0]['optimizer']['state'], ends[1]['optimizer']['state'], rtol=0, atol=0
    )
