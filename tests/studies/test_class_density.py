"""The loss with a density for each class, against one loss for each column of logits."""

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from studies.class_density import ClassDensityGHMC

SETTINGS = dict(use_sigmoid=True, bins=10, momentum=0.75, balance='small-data')


@pytest.mark.parametrize('weights', [None, (200,), (200, 3)])
def test_each_class_is_a_loss_of_its_own(weights):
    torch.manual_seed(0)
    loss = ClassDensityGHMC(3, **SETTINGS)
    columns = [GHMCLoss(**SETTINGS) for _ in range(3)]
    for _ in range(2):
        logits = (3 * torch.randn(200, 3)).requires_grad_()
        labels = torch.randint(0, 4, (200,))
        weight = None if weights is None else (torch.rand(weights) > 0.3).float()
        total = loss(logits, labels, weight)
        expected = sum(
            column(
                logits[:, [c]],
                (labels != c).long(),
                weight[:, [c]] if weight is not None and weight.dim() > 1 else weight,
            )
            for c, column in enumerate(columns)
        )
        (gradient,) = torch.autograd.grad(total, logits, retain_graph=True)
        (other,) = torch.autograd.grad(expected / 3, logits)
        torch.testing.assert_close(total, expected / 3)
        torch.testing.assert_close(gradient, other)
