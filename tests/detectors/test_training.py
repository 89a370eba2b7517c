"""Each detector trained for real, for a few iterations, on the sample data."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.balance import Balance
from tests.detectors.cases import REPOSITORY, Case

EPOCHS = 10
MORE_EPOCHS = {'rtmdet': 20}  # starts with all scores low and its batch statistics unsettled
CLASSIFICATION = re.compile('loss_.*(cls|obj)')
MOVING_TARGETS = ('gfl',)
"""Their score is to be the box's IoU: near 0 before training, and harder as boxes get better."""
DATA = ('train_dataloader', 'val_dataloader', 'val_evaluator', 'val_cfg')


def training_config(case: Case, data: Path, work_dir: Path) -> Config:
    """The case's model on the sample's data, without the hooks that its own pipeline needs."""
    sample = Config.fromfile(REPOSITORY / 'configs/sample/_base_/retinanet_r18_fpn_sample.py')
    for loader in (sample.train_dataloader, sample.val_dataloader):
        loader.dataset.data_root = f'{data}/'
    sample.train_dataloader.batch_size = 4
    sample.val_evaluator.ann_file = str(data / 'annotations' / 'instances_val.json')
    cfg = case.config()
    clip_grad = cfg.optim_wrapper.get('clip_grad') or dict(max_norm=35)
    epochs = MORE_EPOCHS.get(case.detector, EPOCHS)
    keep_every_score(cfg.model.get('test_cfg') or {})
    return Config(
        dict(
            {key: sample[key] for key in DATA},
            model=cfg.model,
            default_scope='mmdet',
            default_hooks=dict(logger=dict(type='LoggerHook', interval=5)),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=epochs),
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=1e-3),
                clip_grad=clip_grad,
            ),
            randomness=dict(seed=0),
            log_level='WARNING',
            work_dir=str(work_dir),
        )
    )


def keep_every_score(test_cfg: dict) -> None:
    """What is evaluated after so few iterations must not be empty."""
    for key, value in test_cfg.items():
        if key == 'score_thr':
            test_cfg[key] = 0.0
        elif isinstance(value, dict):
            keep_every_score(value)


@torch.no_grad()
def settled_losses(model: torch.nn.Module, batches: list[dict]) -> dict[str, float]:
    """Classification and box loss as the state settles to: its start from zero is no progress.

    Every region has the same weight: with equal gradient a loss grows as its regions fill. TOOD's
    are those of its first epochs, before and after a training alike.
    """
    MessageHub.get_current_instance().update_info('epoch', 0)
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, GHMLoss):
            module.density.momentum = 0
            module.balance = Balance()
    totals = dict(classification=0.0, boxes=0.0)
    for batch in copy.deepcopy(batches):
        data = model.data_preprocessor(batch, training=True)
        for name, value in model.parse_losses(model(**data, mode='loss'))[1].items():
            if 'loss_' in name:
                totals['classification' if CLASSIFICATION.search(name) else 'boxes'] += float(value)
    return totals


@pytest.mark.long
def test_trains_and_evaluates(case, sample_data, tmp_path):
    if case.detector == 'paa':
        pytest.importorskip('sklearn', reason='PAA needs scikit-learn to tell its positives')
    runner = Runner.from_cfg(training_config(case, sample_data, tmp_path))
    runner.model.init_weights()
    batches = list(runner.build_dataloader(runner.cfg.train_dataloader, seed=0))
    before = settled_losses(runner.model, batches)
    runner.train()
    assert all(weight.isfinite().all() for weight in runner.model.parameters())
    after = settled_losses(runner.model, batches)
    assert sum(after.values()) < sum(before.values())
    assert after['boxes'] < before['boxes']
    if case.detector not in MOVING_TARGETS:
        assert after['classification'] < before['classification']
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/coco/bbox_mAP'].current() <= 1  # -1 where nothing is evaluated
    losses = [name for name in scalars if name.startswith('train/loss')]
    assert losses and all(abs(scalars[name].current()) < 1e4 for name in losses)
