"""GHM-C on softmax logits and on probabilities: cross entropy of torch, and the definition."""

import pytest
import torch
import torch.nn.functional as F

from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.method.criteria import DenseTarget, LabelTarget, SoftmaxCrossEntropy
from ghm_mmdet.method.density import region_index

pytestmark = pytest.mark.usefixtures('backend')

ANCHORS, CHANNELS, BINS = 61, 5, 10


def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(ANCHORS, CHANNELS, dtype=torch.float64, generator=generator) * 3
    labels = torch.randint(0, CHANNELS, (ANCHORS,), generator=generator)
    weight = (torch.rand(ANCHORS, generator=generator) > 0.3).double()
    return logits.requires_grad_(), labels, weight


def loss_and_gradient(loss, logits):
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


def test_one_region_is_softmax_cross_entropy():
    logits, labels, weight = batch()
    ours = GHMCLoss(use_sigmoid=False, bins=1)(logits, labels, weight)
    entropy = F.cross_entropy(logits, labels, reduction='none')
    oracle = (entropy * weight).sum() / weight.sum()
    for mine, expected in zip(loss_and_gradient(ours, logits), loss_and_gradient(oracle, logits)):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize('density', ['paper', 'mmdet'])
def test_softmax_is_the_definition_over_anchors(density):
    logits, labels, weight = batch()
    module = GHMCLoss(use_sigmoid=False, bins=BINS, density=density)
    entropy = F.cross_entropy(logits, labels, reduction='none')
    norm = 1 - logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
    region = region_index(norm, module.density.edges)
    counts = torch.zeros(BINS).index_add(0, region, weight.float())
    total, occupied = weight.sum(), (counts > 0).sum()
    regions = BINS if density == 'paper' else occupied
    beta = (total / (counts.double()[region] * regions)).where(weight > 0, 0)
    oracle = (beta * entropy).sum() / total
    ours = module(logits, labels, weight)
    for mine, expected in zip(loss_and_gradient(ours, logits), loss_and_gradient(oracle, logits)):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-9)
    elements = module(logits, labels, weight, reduction_override='none')
    torch.testing.assert_close(elements, beta * entropy, rtol=1e-6, atol=1e-9)


def test_softmax_norm_is_half_the_l1_norm_of_the_gradient():
    logits, labels, _ = batch()
    criterion = SoftmaxCrossEntropy()
    norm = criterion.evaluate(logits, LabelTarget(labels)).gradient_norm
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction='sum'), logits)
    torch.testing.assert_close(norm.squeeze(1), gradient.abs().sum(1) / 2)


def test_softmax_labels_are_their_one_hot_values():
    logits, labels, weight = batch()
    module = GHMCLoss(use_sigmoid=False, bins=BINS)
    values = F.one_hot(labels, CHANNELS).double()
    for mine, expected in zip(
        loss_and_gradient(module(logits, values, weight), logits),
        loss_and_gradient(module(logits, labels, weight), logits),
    ):
        torch.testing.assert_close(mine, expected)


def test_softmax_survives_extreme_logits():
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    loss = GHMCLoss(use_sigmoid=False, bins=BINS)(logits, torch.tensor([0, 0]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('form', ['labels', 'labels and scores', 'values'])
def test_probabilities_have_the_loss_of_their_logits(form):
    logits, labels, weight = batch()
    score = torch.linspace(0, 1, ANCHORS, dtype=torch.float64)
    target = {
        'labels': labels,
        'labels and scores': (labels, score),
        'values': score.unsqueeze(1).expand(ANCHORS, CHANNELS),
    }[form]
    plain = GHMCLoss(use_sigmoid=True, bins=BINS)
    activated = GHMCLoss(use_sigmoid=True, activated=True, bins=BINS)
    for mine, expected in zip(
        loss_and_gradient(activated(logits.sigmoid(), target, weight), logits),
        loss_and_gradient(plain(logits, target, weight), logits),
    ):
        torch.testing.assert_close(mine, expected)
    torch.testing.assert_close(activated.statistics.counts, plain.statistics.counts)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
def test_probabilities_of_exactly_0_and_1_stay_finite(dtype):
    probability = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = GHMCLoss(use_sigmoid=True, activated=True, bins=BINS)(probability, torch.tensor([0, 0]))
    loss.backward()
    assert loss.isfinite()


def test_a_probability_outside_its_range_poisons_the_loss():
    probability = torch.tensor([[0.5, 1.5]])
    loss = GHMCLoss(use_sigmoid=True, activated=True)(probability, torch.tensor([0]))
    assert loss.isnan()


@pytest.mark.parametrize(
    ('arguments', 'target', 'message'),
    [
        ({'use_sigmoid': False}, torch.tensor([0, 3]), r'must be in \[0, 2\]'),
        ({'use_sigmoid': False}, (torch.tensor([0, 1]), torch.ones(2)), 'must be labels'),
        ({'use_sigmoid': True}, torch.tensor([0, 4]), r'must be in \[0, 3\]'),
    ],
)
def test_targets_that_do_not_fit_are_refused(arguments, target, message):
    with pytest.raises(ValueError, match=message):
        GHMCLoss(**arguments)(torch.zeros(2, 3), target)


def test_softmax_of_soft_rows_against_torch():
    logits, _, _ = batch()
    values = torch.rand(ANCHORS, CHANNELS, dtype=torch.float64).softmax(1)
    criterion, target = SoftmaxCrossEntropy(), DenseTarget(values)
    evaluation = criterion.evaluate(logits, target)
    expected = F.cross_entropy(logits, values, reduction='none')
    torch.testing.assert_close(evaluation.loss.squeeze(1), expected)
    (gradient,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(criterion.gradient(logits, target), gradient)
