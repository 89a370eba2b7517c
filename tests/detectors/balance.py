"""The balance of classification and boxes in one-stage heads, by their own loss and by GHM-C.

Each shrunk detector trains for some iterations with MMDetection's own loss. The norms of the
losses' gradients at the neck's outputs are then measured twice at the same weights: with that loss,
and with our config's losses, GHM-C at a loss weight of 1. Run as
``python -m tests.detectors.balance DETECTOR ...``.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.runner import Runner

from ghm_mmdet.analysis.loss_balance import loss_gradient_norms
from ghm_mmdet.data.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.losses import GHMCLoss
from tests.detectors.cases import Case, all_cases
from tests.detectors.conftest import SIZE
from tests.detectors.test_training import training_config

IMAGES = 60  # 15 batches, so 150 iterations in the 10 epochs of the training test


class OwnLoss(Case):
    """The case's detector as MMDetection has it."""

    def config(self) -> Config:
        base = re.search(r"^_base_ = '(mmdet::.*)'", self.path.read_text(), re.MULTILINE)
        return self.shrunk(get_config(base[1]))


def measure(case: Case, data: Path, work_dir: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Norms by the name of the loss, with MMDetection's loss and with ours."""
    cfg = training_config(OwnLoss(case.path), data, work_dir)
    runner = Runner.from_cfg(cfg)
    runner.train()
    ours = MODELS.build(training_config(case, data, work_dir).model)
    ours.load_state_dict(runner.model.state_dict(), strict=False)
    for loss in ours.modules():
        if isinstance(loss, GHMCLoss):
            loss.loss_weight = 1.0
    batches = list(runner.build_dataloader(cfg.train_dataloader, seed=1))
    return loss_gradient_norms(runner.model, batches), loss_gradient_norms(ours, batches)


def main(detectors: list[str]) -> None:
    """Print a row for each case of the given detectors."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / 'data'
        make_sample_dataset(data, SampleSettings(train=IMAGES, val=4, size=SIZE))
        for case in all_cases():
            if case.detector in detectors and not case.variant.startswith('aligned'):
                theirs, ours = measure(case, data, Path(folder) / 'work')
                ratios = [norms['loss_cls'] / norms['loss_bbox'] for norms in (theirs, ours)]
                print(f'{case}: cls / box {ratios[0]:.2f}, with GHM {ratios[1]:.2f}')


if __name__ == '__main__':
    main(sys.argv[1:])
