"""Half a run, resumed, is the whole run, although data and model draw at random."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn
from torch.utils.data import Dataset


class NoisyItems(Dataset):
    """Five items that are never the same twice."""

    metainfo: ClassVar = {}

    def __getitem__(self, index):
        return {'inputs': torch.tensor([index + np.random.rand()], dtype=torch.float32)}

    def __len__(self):
        return 5


class Noisy(BaseModel):
    """A model with dropout; it keeps what it was trained on."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 8)
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def forward(self, inputs, mode='loss'):
        inputs = torch.stack(inputs)
        self.seen.append(inputs.flatten().tolist())
        return {'loss': self.dropout(self.linear(inputs)).square().mean()}


LOOPS = {
    'epochs': (
        lambda amount: dict(by_epoch=True, max_epochs=amount),
        dict(type='DefaultSampler', shuffle=True),
    ),
    'iterations without an end': (
        lambda amount: dict(by_epoch=False, max_iters=amount),
        dict(type='InfiniteSampler', shuffle=True),
    ),
    'iterations of epochs': (
        lambda amount: dict(by_epoch=False, max_iters=amount),
        dict(type='DefaultSampler', shuffle=True),
    ),
}


STARTS_WORKERS_EARLY = not hasattr(_InfiniteDataloaderIterator, 'skip_iter')


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """MMEngine waits between the epochs of a loop of iterations."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


def train(folder, loop, amount, seed=3, resume=None, hooks=('ExactResumeHook',), workers=0):
    torch.manual_seed(0)
    length, sampler = LOOPS[loop]
    train_cfg = length(amount)
    runner = Runner(
        model=Noisy(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            dataset=NoisyItems(),
            sampler=dict(sampler),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.001, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=train_cfg['by_epoch'])
        ),
        custom_hooks=[dict(type=hook) for hook in hooks],
        randomness=dict(seed=seed),
        load_from=resume,
        resume=resume is not None,
        log_level='ERROR',
        default_scope='mmdet',
        experiment_name=f'{folder.name}-{amount}-{bool(resume)}',
        cfg=Config(dict(randomness=dict(seed=seed))),
    )
    runner.train()
    return runner.model


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(
    'seed', [3, pytest.param(None, marks=pytest.mark.long)], ids=['seed', 'no seed']
)
@pytest.mark.parametrize('loop', LOOPS)
def test_half_a_run_and_its_other_half_are_the_whole(tmp_path, loop, seed, workers):
    if loop != 'epochs' and workers and STARTS_WORKERS_EARLY:
        pytest.skip('this MMEngine starts the workers of such a loop before any hook')
    whole = train(tmp_path / 'run', loop, 6, seed, workers=workers)
    (half,) = (tmp_path / 'run').glob('*_3.pth')
    rest = train(tmp_path / 'rest', loop, 6, seed, resume=str(half), workers=workers)
    assert rest.seen == whole.seen[-len(rest.seen) :]
    assert len(rest.seen) == len(whole.seen) / 2
    torch.testing.assert_close(rest.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_without_the_hook_the_other_half_is_another(tmp_path):
    whole = train(tmp_path / 'run', 'epochs', 6, hooks=())
    rest = train(tmp_path / 'rest', 'epochs', 6, resume=str(tmp_path / 'run/epoch_3.pth'), hooks=())
    assert rest.seen != whole.seen[-len(rest.seen) :]


def test_no_image_is_augmented_alike_in_two_epochs(tmp_path):
    items = [item for batch in train(tmp_path, 'epochs', 6).seen for item in batch]
    assert len({item % 1 for item in items}) == len(items) == 30


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_make_no_difference_to_what_is_seen(tmp_path, workers):
    alone = train(tmp_path / 'alone', 'epochs', 2)
    assert train(tmp_path / 'more', 'epochs', 2, workers=workers).seen == alone.seen
