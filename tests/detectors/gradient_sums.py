"""Sums of |dL/dx| over what each loss is called with: the head's own losses beside the config's.

A shrunk detector trains with MMDetection's own losses first; both are measured at its weights, with
the division that its head does. Run as ``python -m tests.detectors.gradient_sums DETECTOR ...``.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn

from ghm_mmdet.data.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.losses.ghm_loss import GHMLoss
from tests.detectors.balance import IMAGES, OwnLoss
from tests.detectors.cases import Case, all_cases
from tests.detectors.conftest import SIZE
from tests.detectors.test_training import training_config


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
    for batch in batches:
        predictions.clear()
        data = model.data_preprocessor(batch, training=True)
        total, _ = model.parse_losses(model(**data, mode='loss'))
        names = [name for name, x in predictions if x.requires_grad]
        inputs = [x for _, x in predictions if x.requires_grad]
        gradients = torch.autograd.grad(total, inputs, allow_unused=True)
        for name, gradient in zip(names, gradients, strict=True):
            sums[name] += 0 if gradient is None else float(gradient.abs().sum()) / len(batches)
    return dict(sums)


def measure(case: Case, data: Path, work_dir: Path) -> None:
    """Print the sums of one case."""
    cfg = training_config(OwnLoss(case.path), data, work_dir)
    runner = Runner.from_cfg(cfg)
    runner.train()
    ours = MODELS.build(training_config(case, data, work_dir).model).train()
    ours.load_state_dict(runner.model.state_dict(), strict=False)
    for title, model in (('own', runner.model.train()), ('GHM', ours)):
        batches = list(runner.build_dataloader(cfg.train_dataloader, seed=1))
        values = ', '.join(f'{k} {v:.2f}' for k, v in gradient_sums(model, batches).items())
        print(f'{case}: {title}: {values}')


def main(detectors: list[str]) -> None:
    """Measure each config of the given detectors."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / 'data'
        make_sample_dataset(data, SampleSettings(train=IMAGES, val=4, size=SIZE))
        for case in all_cases():
            if case.detector in detectors and not case.variant:
                measure(case, data, Path(folder) / 'work')


if __name__ == '__main__':
    main(sys.argv[1:])
