"""What the figures claim, against the losses themselves."""

import numpy as np
import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

from ghm_mmdet.analysis.figures import (
    gradient_shares,
    region_centres,
    save_harmonizing_figure,
    save_training_figure,
)
from ghm_mmdet.losses import GHMCLoss

COUNTS = np.array([900, 300, 0, 40, 7, 0, 3, 1, 20, 60])


def cross_entropy(logits, target):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction='sum')


def focal(logits, target):
    return py_sigmoid_focal_loss(logits, target, gamma=2.0, alpha=0.5, reduction='sum')


def ghm_c(logits, target):
    return GHMCLoss(use_sigmoid=True, bins=len(COUNTS), reduction='sum')(logits, target)


@pytest.mark.parametrize(
    ('name', 'loss'), [('cross entropy', cross_entropy), ('focal loss', focal), ('GHM-C', ghm_c)]
)
def test_shares_are_those_of_the_losses_gradients(name, loss):
    norm = torch.from_numpy(np.repeat(region_centres(len(COUNTS)), COUNTS)).unsqueeze(1)
    logits = norm.logit().requires_grad_()  # background examples: g = p
    loss(logits, torch.zeros_like(logits)).backward()
    region = (norm * len(COUNTS)).long().flatten()
    totals = torch.zeros(len(COUNTS), dtype=torch.float64)
    totals.index_add_(0, region, logits.grad.abs().flatten())
    np.testing.assert_allclose(gradient_shares(COUNTS)[name], totals / totals.sum(), rtol=1e-5)


@pytest.mark.parametrize('suffix', ['png', 'svg'])
def test_figures_are_written(tmp_path, suffix):
    counts = {'loss_cls': COUNTS, 'loss_bbox': COUNTS[:5]}
    titles = {'loss_cls': ('Classification', 'g'), 'loss_bbox': ('Boxes', 'gr')}
    save_training_figure(tmp_path / f'training.{suffix}', counts, counts, titles)
    save_harmonizing_figure(tmp_path / f'harmonizing.{suffix}', COUNTS)
    signature = {'png': b'\x89PNG', 'svg': b'<?xml'}[suffix]
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(signature)
