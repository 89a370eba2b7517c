"""Resuming keeps the moving average and `load_from` does not, in real mmengine runs."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ghm_mmdet.losses import GHMCLoss

ITERATIONS = 3


class Classifier(BaseModel):
    """A linear layer under GHM-C that keeps the moving average before each of its iterations."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(4, 2)
        self.loss = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.75)
        self.after_first_call = None

    def forward(self, features, labels, mode='loss'):
        loss = self.loss(self.linear(features), labels)
        if self.after_first_call is None:
            self.after_first_call = self.loss.density.moving_average.clone()
        return dict(loss=loss)


def samples():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 4, generator=generator)
    # a batch for each iteration: MMEngine sleeps where a loader starts anew
    return [(row, label % 3) for label, row in enumerate(features)] * (ITERATIONS + 1)


def train(work_dir, max_iters, **arguments):
    runner = Runner(
        model=Classifier(),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(samples(), batch_size=8),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        experiment_name=work_dir.name,
        default_scope='mmdet',
        log_level='ERROR',
        **arguments,
    )
    runner.train()
    return runner.model


@pytest.mark.parametrize('resume', [False, True])
def test_resume_continues_and_load_from_starts_afresh(tmp_path, resume):
    first = train(tmp_path / f'first-{resume}', ITERATIONS)
    second = train(
        tmp_path / f'second-{resume}',
        ITERATIONS + 1,
        load_from=str(tmp_path / f'first-{resume}' / f'iter_{ITERATIONS}.pth'),
        resume=resume,
    )
    counts = first.loss.statistics.counts  # the same in every call: the learning rate is zero
    average = first.loss.density.moving_average if resume else torch.zeros(5)
    expected = (0.75 * average + 0.25 * counts).where(counts > 0, average)
    torch.testing.assert_close(second.after_first_call, expected)
