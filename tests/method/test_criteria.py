"""Criteria against torch's own losses, autograd, and the definitions in float64."""

import re

import pytest
import torch
import torch.nn.functional as F

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)

LOGITS = torch.tensor([-1e4, -60.0, -3.0, -1e-3, 0.0, 1e-3, 2.0, 60.0, 1e4]).repeat(3, 1)
DIFFERENCES = torch.tensor([-1e4, -3.0, -0.02, -1e-5, 0.0, 1e-30, 1e-5, 0.02, 3.0, 1e4])


def dense_of(labels, score, num_classes):
    one_hot = F.one_hot(labels, num_classes + 1)[:, :-1].to(score)
    return one_hot * score.unsqueeze(1)


@pytest.fixture
def labelled():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 6, (40,), generator=generator)  # 5 is background
    return torch.randn(40, 5, generator=generator) * 4, labels, torch.rand(40, generator=generator)


@pytest.mark.parametrize('value', [0.0, 0.3, 1.0])
def test_sigmoid_cross_entropy_is_torchs(value):
    target = torch.full_like(LOGITS, value)
    evaluation = SigmoidCrossEntropy().evaluate(LOGITS, DenseTarget(target))
    oracle = F.binary_cross_entropy_with_logits(LOGITS.double(), target.double(), reduction='none')
    torch.testing.assert_close(evaluation.loss.double(), oracle, rtol=1e-6, atol=1e-15)
    norm = (LOGITS.double().sigmoid() - value).abs()
    torch.testing.assert_close(evaluation.gradient_norm.double(), norm, rtol=0, atol=1e-7)
    assert evaluation.finite.all()


@pytest.mark.parametrize('soft', [False, True])
def test_label_targets_are_their_dense_form(labelled, soft):
    logits, labels, score = labelled
    compact = LabelTarget(labels, score if soft else None)
    dense = DenseTarget(dense_of(labels, score if soft else torch.ones_like(score), 5))
    criterion = SigmoidCrossEntropy()
    for ours, oracle in zip(criterion.evaluate(logits, compact), criterion.evaluate(logits, dense)):
        torch.testing.assert_close(ours, oracle, rtol=0, atol=0)
    torch.testing.assert_close(
        criterion.gradient(logits, compact), criterion.gradient(logits, dense), rtol=0, atol=0
    )


@pytest.mark.parametrize('mu', [1e-18, 1e18])
def test_the_narrowest_and_the_widest_tell_an_error_of_0(mu):
    difference, zero = torch.tensor([0.0, mu]), DenseTarget(torch.zeros(2))
    evaluation = AuthenticSmoothL1(mu).evaluate(difference, zero)
    assert evaluation.finite.all()
    torch.testing.assert_close(evaluation.gradient_norm, torch.tensor([0, 0.5**0.5]))


@pytest.mark.parametrize('mu', [0.0, 1e-30, 1e30, float('inf')])
def test_a_width_that_float32_cannot_square_is_refused(mu):
    with pytest.raises(ValueError, match=rf'^mu={re.escape(repr(mu))}: must be a number in \['):
        AuthenticSmoothL1(mu)


@pytest.mark.parametrize('mu', [1e-3, 0.02, 1.0])
def test_authentic_smooth_l1_is_its_definition(mu):
    evaluation = AuthenticSmoothL1(mu).evaluate(
        DIFFERENCES, DenseTarget(torch.zeros_like(DIFFERENCES))
    )
    d = DIFFERENCES.double()
    root = torch.hypot(d, torch.tensor(mu, dtype=torch.float64))
    torch.testing.assert_close(evaluation.loss.double(), d * d / (root + mu), rtol=1e-6, atol=1e-37)
    torch.testing.assert_close(
        evaluation.gradient_norm.double(), (d / root).abs(), rtol=1e-6, atol=1e-37
    )


@pytest.mark.parametrize('criterion', [SigmoidCrossEntropy(), AuthenticSmoothL1(0.02)])
def test_gradient_is_that_of_the_loss(criterion):
    generator = torch.Generator().manual_seed(1)
    prediction = torch.randn(30, 4, dtype=torch.float64, generator=generator)
    target = DenseTarget(torch.rand(30, 4, dtype=torch.float64, generator=generator))
    step = 1e-6
    above = criterion.evaluate(prediction + step, target).loss
    below = criterion.evaluate(prediction - step, target).loss
    gradient = criterion.gradient(prediction, target)
    torch.testing.assert_close(gradient, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)
    norm = criterion.evaluate(prediction, target).gradient_norm
    torch.testing.assert_close(norm, gradient.abs(), rtol=0, atol=0)


@pytest.mark.parametrize('value', [3e19, -3e38])
def test_an_error_whose_square_overflows_is_not_taken_for_none(value):
    prediction, target = torch.tensor([value, -1e19]), DenseTarget(torch.zeros(2))
    criterion = AuthenticSmoothL1(0.02)
    loss, gradient_norm, finite = criterion.evaluate(prediction, target)
    assert finite.tolist() == [False, True]
    for found in (loss, gradient_norm, criterion.gradient(prediction, target)):
        assert found.isnan().tolist() == [True, False]
    assert criterion.evaluate(prediction.double(), target).finite.all()


@pytest.mark.parametrize('criterion', [SigmoidCrossEntropy(), AuthenticSmoothL1(0.02)])
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('where', ['prediction', 'target'])
def test_what_is_not_finite_is_flagged(criterion, bad, where):
    values = {'prediction': torch.zeros(3, 2), 'target': torch.zeros(3, 2)}
    values[where][1, 1] = bad
    finite = criterion.evaluate(values['prediction'], DenseTarget(values['target'])).finite
    assert (~finite).nonzero().tolist() == [[1, 1]]
