"""A checkpoint that cannot be written costs none that was there."""

from __future__ import annotations

import errno
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from ghm_mmdet.engine.checkpoint import check_checkpoint
from ghm_mmdet.hooks.atomic_checkpoint_hook import AtomicLocalBackend


class Linear(BaseModel):
    """A model of one weight."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, inputs, mode='loss'):
        return {'loss': self.linear(torch.stack(inputs)).square().mean()}


def trained(work_dir, epochs=4, resume=False, **checkpoint):
    """Train for some epochs, a checkpoint after each."""
    hook = dict(type='AtomicCheckpointHook', interval=1, **checkpoint)
    runner = Runner(
        model=Linear(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            dataset=[{'inputs': torch.ones(1)} for _ in range(4)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
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
