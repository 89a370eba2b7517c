"""The falling loss weight, by the losses of a training of its own."""

from types import SimpleNamespace

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from studies.loss_weight_decay import LossWeightDecay


def test_the_loss_falls_by_the_same_factor_each_iteration_to_the_share_at_the_end():
    torch.manual_seed(0)
    logits, labels = torch.randn(100, 3), torch.randint(0, 4, (100,))
    weights = torch.ones(100)
    loss = GHMCLoss(use_sigmoid=True, loss_weight=2.0)
    whole = loss(logits, labels, weights).item()
    head = SimpleNamespace(bbox_head=SimpleNamespace(loss_cls=loss))
    runner = SimpleNamespace(model=head, iter=0, max_iters=50)
    hook = LossWeightDecay(last=0.1)
    hook.before_train(runner)
    losses = []
    for iteration in range(runner.max_iters + 1):
        runner.iter = iteration
        hook.before_train_iter(runner, iteration)
        losses.append(loss(logits, labels, weights).item())
    assert losses[0] == pytest.approx(whole)
    assert losses[-1] == pytest.approx(0.1 * whole)
    ratios = [later / earlier for earlier, later in zip(losses, losses[1:])]
    assert ratios == pytest.approx([0.1 ** (1 / 50)] * 50)
