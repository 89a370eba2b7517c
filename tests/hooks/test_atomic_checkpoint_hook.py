"""A checkpoint that cannot be written costs none that was there."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.hooks.atomic_checkpoint_hook import AtomicCheckpointHook, AtomicLocalBackend


class Linear(BaseModel):
    """A model of one weight."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs, mode='loss'):
        if mode == 'predict':
            return inputs
        return {'loss': self.linear(torch.stack(inputs)).square().mean()}


class Scores(BaseMetric):
    """One score that rises with every validation and one that falls."""

    count = 0

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        self.count += 1
        return dict(rising=self.count, falling=-self.count)


def trained(work_dir, epochs=4, resume=False, interval=1, **checkpoint):
    """Train for some epochs, by default with a checkpoint after each, and look at the scores."""
    hook = dict(type='AtomicCheckpointHook', interval=interval, rule='greater', **checkpoint)
    data = dict(
        batch_size=2,
        dataset=[{'inputs': torch.ones(1)} for _ in range(4)],
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = Runner(
        model=Linear(),
        work_dir=str(work_dir),
        train_dataloader=data,
        val_dataloader=data,
        val_cfg=dict(),
        val_evaluator=dict(type=Scores),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)),
        default_hooks=dict(checkpoint=hook),
        resume=resume,
        log_level='ERROR',
        default_scope='mmdet',
        experiment_name=f'{work_dir.name}-{epochs}-{resume}',
        cfg=Config(),
    )
    runner.train()
    return runner


@pytest.fixture
def full_disk(monkeypatch):
    """From the given write on, nothing fits on the disk any more."""

    def fill(writes_left):
        fsync, left = os.fsync, [writes_left]

        def sync(descriptor):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        monkeypatch.setattr(os, 'fsync', sync)

    return fill


def names(folder):
    """Files, without the config that MMEngine writes."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix != '.py')


def test_a_file_is_replaced_whole_or_stays(tmp_path, full_disk):
    full_disk(1)
    path = tmp_path / 'new' / 'file.pth'
    AtomicLocalBackend().put(b'first', path)
    with pytest.raises(OSError, match='No space left'):
        AtomicLocalBackend().put(b'second', path)
    assert path.read_bytes() == b'first'
    assert names(path.parent) == ['file.pth']


@pytest.mark.parametrize('kept', [1, 2])
def test_keeps_as_many_as_mmengine(tmp_path, kept):
    trained(tmp_path, max_keep_ckpts=kept)
    left = [f'epoch_{epoch}.pth' for epoch in range(5 - kept, 5)]
    assert names(tmp_path) == [*left, 'last_checkpoint']
    trained(tmp_path, epochs=6, resume=True, max_keep_ckpts=kept)
    left = [f'epoch_{epoch}.pth' for epoch in range(7 - kept, 7)]
    assert names(tmp_path) == [*left, 'last_checkpoint']


def test_keeps_all_where_all_are_asked_for(tmp_path):
    trained(tmp_path)
    assert names(tmp_path) == [*(f'epoch_{epoch}.pth' for epoch in range(1, 5)), 'last_checkpoint']


def test_a_full_disk_costs_no_checkpoint_that_was_there(tmp_path, full_disk):
    full_disk(2)
    with pytest.raises(OSError, match='No space left'):
        trained(tmp_path, max_keep_ckpts=1)
    assert names(tmp_path) == ['epoch_2.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_2.pth')
    check_checkpoint(str(tmp_path / 'epoch_2.pth'), 'what is left')


# no checkpoint but the best
BEST = dict(interval=100, save_last=False, save_best='rising')


@pytest.mark.parametrize(
    ('metrics', 'best'),
    [
        ('rising', ['best_rising_epoch_4.pth']),
        ('falling', ['best_falling_epoch_1.pth']),
        (['rising', 'falling'], ['best_falling_epoch_1.pth', 'best_rising_epoch_4.pth']),
    ],
)
def test_keeps_the_best_by_each_metric(tmp_path, metrics, best):
    trained(tmp_path, **{**BEST, 'save_best': metrics})
    assert names(tmp_path) == best


@pytest.fixture
def trained_hook(tmp_path):
    """A runner that has trained, and its hook."""
    runner = trained(tmp_path, **BEST)
    return runner, next(each for each in runner.hooks if isinstance(each, AtomicCheckpointHook))


def test_a_best_one_of_the_same_name_is_kept(tmp_path, trained_hook):
    runner, hook = trained_hook
    hook.after_val_epoch(runner, dict(rising=5))
    assert names(tmp_path) == ['best_rising_epoch_4.pth']


def test_a_best_one_that_is_a_folder_goes_as_a_whole(tmp_path, trained_hook):
    runner, hook = trained_hook
    folder = tmp_path / 'best'
    folder.mkdir()
    (folder / 'rank_0.pt').touch()
    hook.best_ckpt_path = str(folder)
    hook.after_val_epoch(runner, dict(rising=5))
    assert not folder.exists()


def test_the_best_one_before_a_resume_goes_too(tmp_path):
    checkpoint = dict(max_keep_ckpts=1, save_best='rising')
    trained(tmp_path, epochs=2, **checkpoint)
    # scores count from the resume on: the third is the best
    trained(tmp_path, epochs=5, resume=True, **checkpoint)
    assert names(tmp_path) == ['best_rising_epoch_5.pth', 'epoch_5.pth', 'last_checkpoint']


def test_a_full_disk_costs_no_best_checkpoint(tmp_path, full_disk):
    full_disk(2)
    with pytest.raises(OSError, match='No space left'):
        trained(tmp_path, **BEST)
    assert names(tmp_path) == ['best_rising_epoch_2.pth']
    check_checkpoint(str(tmp_path / 'best_rising_epoch_2.pth'), 'what is left')
