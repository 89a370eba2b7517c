"""The loss weight that follows the positives, by its definition."""

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from studies.following_weight import FollowingGHMC

SETTINGS = dict(use_sigmoid=True, bins=10, momentum=0.75, balance='small-data')


@pytest.mark.parametrize('power', [1.0, 2.0])
def test_the_loss_is_multiplied_by_a_power_of_the_mean_gradient_norm_of_the_positives(power):
    torch.manual_seed(0)
    loss, plain = FollowingGHMC(power, **SETTINGS), GHMCLoss(**SETTINGS)
    norms, numbers = [], []
    for _ in range(3):
        logits = (3 * torch.randn(200, 3)).requires_grad_()
        labels = torch.randint(0, 4, (200,))
        weight = (torch.rand(200) > 0.3).float()
        counted = (labels < 3) & (weight > 0)
        norms.append((1 - logits.sigmoid()[counted, labels[counted]]).sum().item())
        numbers.append(counted.sum().item())
        ages = [0.75**age for age in reversed(range(len(norms)))]
        mean = sum(age * norm for age, norm in zip(ages, norms)) / sum(
            age * number for age, number in zip(ages, numbers)
        )
        factor = mean**power
        actual, expected = (each(logits, labels, weight) for each in (loss, plain))
        assert actual.item() == pytest.approx(factor * expected.item())
        gradients = [torch.autograd.grad(each, logits)[0] for each in (actual, expected)]
        torch.testing.assert_close(gradients[0], factor * gradients[1])


def test_without_positives_the_loss_is_as_it_was():
    logits, labels = torch.randn(50, 3), torch.full((50,), 3)
    loss, plain = FollowingGHMC(**SETTINGS), GHMCLoss(**SETTINGS)
    assert loss(logits, labels).item() == plain(logits, labels).item()
