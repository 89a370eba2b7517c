"""The balance of classification and boxes in each detector, by its own losses and by ours.

Each shrunk detector trains for some iterations with MMDetection's own losses. Two things are then
measured at the same weights, with those losses and with our config's:

- in a one-stage detector, the norm of the losses' gradients at the neck's outputs, classification
  over boxes, with GHM-C at a loss weight of 1;
- the sum of |dL/dx| over what each loss is called with, weights and divisions included.

Run as ``python -m tests.detectors.balance DETECTOR ...``.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from demo.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from tests.detectors.cases import Case, all_cases
from tests.detectors.conftest import SIZE
from tests.detectors.listed_lines import mmdet_config
from tests.detectors.test_training import training_config
from tools.loss_balance import loss_gradient_norms

IMAGES = 60  # 15 batches, so 150 iterations in the 10 epochs of the training test


class OwnLoss(Case):
    """The case's detector as MMDetection has it."""

    def config(self) -> Config:
        return self.shrunk(mmdet_config(self.path))


def trained(case: Case, data: Path, work_dir: Path) -> tuple[nn.Module, nn.Module, list[dict]]:
    """A detector with its own losses after a training, the same with ours, and batches."""
    cfg = training_config(OwnLoss(case.path), data, work_dir)
    # mmdet's SSD cannot be evaluated: its head lacks the loss_cls that predicting asks for
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    ours = MODELS.build(training_config(case, data, work_dir).model).train()
    ours.load_state_dict(runner.model.state_dict(), strict=False)
    batches = list(runner.build_dataloader(cfg.train_dataloader, seed=1))
    return runner.model.train(), ours, batches


def balance(model: nn.Module, batches: list[dict]) -> float:
    """Norm of the classification's gradient over that of the boxes', GHM-C at a weight of 1."""
    model = copy.deepcopy(model)
    for loss in model.modules():
        if isinstance(loss, GHMCLoss):
            loss.loss_weight = 1.0
    norms = loss_gradient_norms(model, copy.deepcopy(batches))
    return norms['loss_cls'] / norms['loss_bbox']


def gradient_sums(model: nn.Module, batches: list[dict]) -> dict[str, float]:
    """Mean over the batches of the sum of |dL/dx|, by the name of the loss."""
    predictions: list[tuple[str, Tensor]] = []
    for name, module in model.named_modules():
        if isinstance(module, GHMLoss):
            module.density.momentum = 0  # as its state settles to
        if name.rpartition('.')[2].startswith('loss'):
            module.register_forward_pre_hook(
                lambda _, args, name=name: predictions.append((name, args[0]))
            )
    sums: Counter[str] = Counter()
    for batch in copy.deepcopy(batches):
        predictions.clear()
        data = model.data_preprocessor(batch, training=True)
        total, _ = model.parse_losses(model(**data, mode='loss'))
        names = [name for name, x in predictions if x.requires_grad]
        inputs = [x for _, x in predictions if x.requires_grad]
        if not inputs:
            continue
        gradients = torch.autograd.grad(total, inputs, allow_unused=True)
        for name, gradient in zip(names, gradients):
            sums[name] += 0 if gradient is None else float(gradient.abs().sum()) / len(batches)
    return dict(sums)


def main(detectors: list[str]) -> None:
    """Print what is measured for each case of the given detectors."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / 'data'
        make_sample_dataset(data, SampleSettings(train=IMAGES, val=4, size=SIZE))
        for case in all_cases():
            if case.detector not in detectors or case.variant == 'aligned':
                continue
            theirs, ours, batches = trained(case, data, Path(folder) / 'work')
            if hasattr(theirs, 'bbox_head') and hasattr(theirs, 'neck'):
                ratios = [balance(model, batches) for model in (theirs, ours)]
                print(f'{case}: cls / box {ratios[0]:.2f}, with GHM {ratios[1]:.2f}')
            for title, model in (('own', theirs), ('ours', ours)):
                sums = gradient_sums(model, batches)
                print(f'{case}: {title}:', ', '.join(f'{k} {v:.2f}' for k, v in sums.items()))


if __name__ == '__main__':
    main(sys.argv[1:])
