"""The defaults give mmdet's numbers, call after call: mmdet's own classes are the oracle."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import GHMC, GHMR

from ghm_mmdet.losses import GHMCLoss, GHMRLoss

pytestmark = pytest.mark.usefixtures('backend')

CALLS = 50
CLASSES = 6
SETTINGS = [(bins, momentum) for bins in (1, 5, 10, 30, 40) for momentum in (0, 0.5, 0.75, 0.9)]


def classification_call(step, generator):
    """Logits that drift from call to call; ignored anchors, no positives, nothing valid, one."""
    anchors = [120, 1, 40, 300][step % 4]
    logits = torch.randn(anchors, CLASSES, generator=generator) * (1 + step % 5) - 2
    labels = torch.randint(0, CLASSES + 1, (anchors,), generator=generator)
    if step % 7 == 3:
        labels.fill_(CLASSES)
    weight = (torch.rand(anchors, generator=generator) > 0.2).float()
    if step % 11 == 5:
        weight.zero_()
    return logits, labels, weight


def regression_call(step, generator):
    boxes = [30, 1, 200, 7][step % 4]
    deltas = torch.randn(boxes, 4, generator=generator) * 0.05 * (1 + step % 5)
    target = torch.randn(boxes, 4, generator=generator) * 0.05
    weight = (torch.rand(boxes, 1, generator=generator) > 0.5).float().expand(-1, 4).clone()
    if step % 11 == 5:
        weight.zero_()
    return deltas, target, weight


PAIRS = {
    'GHM-C': (lambda **kwargs: GHMCLoss(use_sigmoid=True, **kwargs), GHMC, classification_call),
    'GHM-R': (GHMRLoss, GHMR, regression_call),
}


def value_and_gradient(loss, prediction, *arguments, **keywords):
    prediction = prediction.clone().requires_grad_()
    value = loss(prediction, *arguments, **keywords)
    value.sum().backward()
    return value.detach(), prediction.grad


def assert_same(ours, oracle):
    torch.testing.assert_close(ours[0], oracle[0], rtol=1e-5, atol=1e-7)
    scale = oracle[1].abs().max().item()
    torch.testing.assert_close(ours[1], oracle[1], rtol=1e-4, atol=1e-6 * scale)


@pytest.mark.parametrize('pair', PAIRS)
@pytest.mark.parametrize(('bins', 'momentum'), SETTINGS)
def test_consecutive_calls(pair, bins, momentum):
    make_ours, make_oracle, make_call = PAIRS[pair]
    arguments = dict(bins=bins, momentum=momentum, loss_weight=1.7)
    ours, oracle = make_ours(**arguments), make_oracle(**arguments)
    generator = torch.Generator().manual_seed(bins)
    for step in range(CALLS):
        call = make_call(step, generator)
        assert_same(value_and_gradient(ours, *call), value_and_gradient(oracle, *call))
    if momentum:
        torch.testing.assert_close(ours.density.moving_average, oracle.acc_sum)


@pytest.mark.parametrize('pair', PAIRS)
def test_elementwise(pair):
    make_ours, make_oracle, make_call = PAIRS[pair]
    call = make_call(0, torch.Generator().manual_seed(0))
    assert_same(
        value_and_gradient(make_ours(bins=10), *call, reduction_override='none'),
        value_and_gradient(make_oracle(bins=10), *call, reduction_override='none'),
    )


@pytest.mark.parametrize('soft', [False, True])
def test_dense_targets_and_weights(soft):
    generator = torch.Generator().manual_seed(0)
    logits, labels, _ = classification_call(0, generator)
    target = F.one_hot(labels, CLASSES + 1)[:, :-1].float()
    if soft:
        target = target * torch.rand(len(labels), 1, generator=generator)
    weight = (torch.rand(target.shape, generator=generator) > 0.3).float()
    assert_same(
        value_and_gradient(GHMCLoss(use_sigmoid=True, bins=30), logits, target, weight),
        value_and_gradient(GHMC(bins=30), logits, target, weight),
    )


@pytest.mark.parametrize('reduction', ['none', 'mean'])
def test_fractional_weights_of_boxes(reduction):
    deltas, target, weight = regression_call(0, torch.Generator().manual_seed(0))
    weight = weight * torch.rand(weight.shape, generator=torch.Generator().manual_seed(1))
    call = deltas, target, weight
    assert_same(
        value_and_gradient(GHMRLoss(reduction=reduction), *call),
        value_and_gradient(GHMR(reduction=reduction), *call),
    )
