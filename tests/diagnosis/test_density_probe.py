"""What a probe says of the harmonized losses, against the gradient that really arrives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ghm_mmdet.diagnosis.density_probe import DensityProbe
from ghm_mmdet.losses import GHMCLoss, GHMRLoss

M, CLASSES = 12, 2
GENERATOR = torch.Generator().manual_seed(3)
LEVELS = [
    (
        3 * torch.randn(rows, CLASSES, generator=GENERATOR),
        torch.randint(0, 3, (rows,), generator=GENERATOR),
    )
    for rows in (60, 25)
]


def regions(norm):
    return (norm * M).long().clamp(max=M - 1)


class Head(torch.nn.Module):
    """Calls one loss for each level, or all levels at once."""

    def __init__(self, loss, at_once):
        super().__init__()
        self.loss_cls = loss
        self.at_once = at_once

    def forward(self, levels):
        if not self.at_once:
            return sum(self.loss_cls(*level) for level in levels)
        with self.loss_cls.split_levels():
            parts = [self.loss_cls(*level) for level in levels]
        return self.loss_cls.merge(parts)


@pytest.mark.parametrize('momentum', [0, 0.6])
@pytest.mark.parametrize('at_once', [True, False])
def test_shares_are_those_of_the_gradient(at_once, momentum):
    head = Head(GHMCLoss(use_sigmoid=True, bins=M, momentum=momentum), at_once)
    levels = [(logits.clone().requires_grad_(), labels) for logits, labels in LEVELS]
    with DensityProbe(head) as probe:
        head(levels).backward()
    (seen,) = probe.result()

    before, after = torch.zeros(2, 2, M, dtype=torch.float64)
    counts = torch.zeros(2, M, dtype=torch.int64)
    for logits, labels in levels:
        one_hot = (labels[:, None] == torch.arange(CLASSES)).long()
        norm = (logits.detach().sigmoid() - one_hot).abs()
        where = (one_hot.flatten(), regions(norm).flatten())
        before.index_put_(where, norm.flatten().double(), accumulate=True)
        after.index_put_(where, logits.grad.abs().flatten().double(), accumulate=True)
        counts.index_put_(where, torch.tensor(1), accumulate=True)
    assert np.array_equal(np.stack([seen.negatives, seen.positives]), counts.numpy())
    for ours, ours_positive, sums in (
        (seen.share_before, seen.positive_share_before, before),
        (seen.share_after, seen.positive_share_after, after),
    ):
        np.testing.assert_allclose(ours, sums.sum(0) / sums.sum(), rtol=1e-4, atol=1e-7)
        assert ours_positive == pytest.approx(float(sums[1].sum() / sums.sum()), rel=1e-4)
    assert (seen.moving_average is None) is (momentum == 0)


def test_boxes_are_positives_and_their_shares_those_of_the_gradient():
    loss = GHMRLoss(mu=0.1, bins=M)
    deltas = (0.3 * torch.randn(50, 4, generator=GENERATOR)).requires_grad_()
    weight = (torch.arange(50) % 3 > 0).float()
    with DensityProbe(loss) as probe:
        loss(deltas, torch.zeros(50, 4), weight).backward()
    (seen,) = probe.result()
    norm = (deltas / (deltas**2 + 0.01).sqrt()).abs().detach()
    expected = torch.zeros(M).index_add_(0, regions(norm).flatten(), deltas.grad.abs().flatten())
    np.testing.assert_allclose(seen.share_after, expected / expected.sum(), rtol=1e-4, atol=1e-7)
    assert seen.symbol == 'gr' and not seen.negatives.any()
    assert seen.positives.sum() == 4 * int(weight.sum())


def test_effective_regions_of_equal_shares_are_all_regions():
    loss = GHMCLoss(use_sigmoid=True, bins=M)
    # one example in each region, of a gradient that the harmonizing weight makes the same
    norm = (torch.arange(M) + 0.5) / M
    logits = norm.repeat_interleave((1 / norm * 1000).round().long()).logit()[:, None]
    with DensityProbe(loss) as probe:
        loss(logits, torch.ones(len(logits), dtype=torch.int64))
    (seen,) = probe.result()
    share = seen.share_before
    assert np.exp(-(share * np.log(share)).sum()) == pytest.approx(M, rel=1e-3)
    ramp = norm.numpy() / norm.numpy().sum()
    assert seen.effective_regions == pytest.approx(np.exp(-(ramp * np.log(ramp)).sum()), rel=1e-3)


def test_a_loss_without_examples_and_one_that_scores_are_left_out():
    loss = GHMCLoss(use_sigmoid=True, bins=M)
    with DensityProbe(loss) as probe:
        loss(torch.zeros(0, CLASSES), torch.zeros(0, dtype=torch.int64))
        loss(*LEVELS[0], reduction_override='none')
    assert probe.result() == []


def test_nothing_stays_on_the_losses():
    loss = GHMCLoss(use_sigmoid=True, bins=M)
    with DensityProbe(loss):
        assert loss._forward_hooks
    assert not loss._forward_hooks
