"""All levels in one step against the differentiable operators, level by level."""

from __future__ import annotations

import pytest
import torch

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import (
    Examples,
    RegionSums,
    choose_backend,
    function,
    level_sums,
    reference,
    region_sums,
    with_gradient,
)
from ghm_mmdet.ops.from_sums import Harmonized

BINS = 7
EDGES = region_edges(BINS)
SIZES = (23, 0, 9)
FACTORS = {
    'no factor': (1.0, 1.0, 1.0),
    'one factor': (2.0, 2.0, 2.0),
    'a factor each': (1.0, torch.tensor(0.5), 3.0),
}


def classification(dtype):
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        logits = torch.randn(size, 5, dtype=torch.float64, generator=generator) * 3
        labels = torch.randint(-1, 7, (size,), generator=generator)
        weight = torch.rand(size, 1, generator=generator) - 0.3
        yield Examples(logits.to(dtype), LabelTarget(labels), weight)


def regression(dtype):
    generator = torch.Generator().manual_seed(0)
    for size in SIZES:
        deltas = torch.randn(size, 4, dtype=torch.float64, generator=generator) * 0.05
        weight = torch.rand(size, 4, generator=generator) - 0.3
        yield Examples(deltas.to(dtype), DenseTarget(torch.zeros(size, 4)), weight)


CASES = pytest.mark.parametrize(
    ('criterion', 'case'),
    [(SigmoidCrossEntropy(), classification), (AuthenticSmoothL1(0.02), regression)],
)


def with_factors(batch, factors):
    return [
        level._replace(prediction=level.prediction.detach().requires_grad_(), factor=factor)
        for level, factor in zip(batch, factors)
    ]


def one_by_one(criterion, batch, scale):
    """Sums and loss through the operators; autograd follows the factors by itself."""
    parts = [region_sums(criterion, level, EDGES) for level in batch]
    sums = RegionSums.total(
        [part._replace(losses=part.losses * level.factor) for part, level in zip(parts, batch)]
    )
    return sums, [part.nonfinite.item() for part in parts], (scale * sums.losses).sum()


def at_once(criterion, batch, scale):
    backend = choose_backend(batch)
    sums, nonfinite = level_sums(criterion, batch, EDGES, backend)
    result = Harmonized((scale * sums.losses).sum(), scale, scale)
    result = with_gradient(result, sums, nonfinite, criterion, batch, EDGES, backend)
    return sums, nonfinite.tolist(), result.loss


def assert_same(criterion, make, tolerance):
    scale = torch.linspace(-1, 2, BINS, dtype=torch.float64)
    results = []
    for compute in (at_once, one_by_one):
        batch = make()
        sums, nonfinite, loss = compute(criterion, batch, scale)
        (3 * loss).backward()
        results.append((sums, nonfinite, loss, [level.prediction.grad for level in batch]))
    for ours, oracle in zip(*results):
        torch.testing.assert_close(ours, oracle, **tolerance, equal_nan=True)


@CASES
@pytest.mark.parametrize('factors', FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_sums_loss_and_gradients(criterion, case, factors, dtype, backend):
    tolerance = dict(rtol=1e-6, atol=1e-7) if dtype == torch.float32 else dict(rtol=1e-12, atol=0)
    assert_same(criterion, lambda: with_factors(case(dtype), factors), tolerance)


@CASES
def test_input_that_is_not_finite_is_told_by_level(criterion, case, backend):
    def make():
        batch = list(case(torch.float32))
        batch[2].prediction[:2, 1] = torch.tensor([torch.nan, torch.inf])
        batch[2].weight[:2] = 1
        return with_factors(batch, FACTORS['no factor'])

    batch = make()
    _, nonfinite = level_sums(criterion, batch, EDGES, choose_backend(batch))
    assert nonfinite.tolist() == [0, 0, 2]
    assert_same(criterion, make, dict(rtol=1e-6, atol=1e-7))


@CASES
def test_gradcheck(criterion, case):
    batch, scale = list(case(torch.float64)), torch.linspace(-1, 2, BINS, dtype=torch.float64)

    def loss(*predictions):
        given = [
            level._replace(prediction=prediction, factor=factor)
            for level, prediction, factor in zip(batch, predictions, FACTORS['a factor each'])
        ]
        return at_once(criterion, given, scale)[-1]

    inputs = [level.prediction.requires_grad_() for level in batch]
    assert torch.autograd.gradcheck(loss, inputs)


@CASES
def test_the_way_through_the_operators_is_the_same(criterion, case, monkeypatch, backend):
    monkeypatch.setattr(function, 'EXACT_TYPES', ())
    make = lambda: with_factors(case(torch.float64), FACTORS['a factor each'])  # noqa: E731
    assert_same(criterion, make, dict(rtol=1e-12, atol=0))


@CASES
def test_a_level_without_gradient(criterion, case):
    frozen, _, level = with_factors(case(torch.float64), FACTORS['one factor'])
    frozen = frozen._replace(prediction=frozen.prediction.detach())
    scale = torch.linspace(-1, 2, BINS, dtype=torch.float64)
    *_, loss = at_once(criterion, [frozen, level], scale)
    loss.backward()
    alone = level._replace(prediction=level.prediction.detach().requires_grad_())
    one_by_one(criterion, [alone], scale)[-1].backward()
    torch.testing.assert_close(level.prediction.grad, alone.prediction.grad)


def test_what_needs_no_gradient_costs_none(monkeypatch):
    calls, gradient = [], reference.gradient
    monkeypatch.setattr(reference, 'gradient', lambda *all: calls.append(all) or gradient(*all))
    frozen, _, level = with_factors(classification(torch.float32), FACTORS['no factor'])
    frozen = frozen._replace(prediction=frozen.prediction.detach())
    arguments = SigmoidCrossEntropy(), [frozen, level], EDGES, reference
    sums, nonfinite = level_sums(*arguments)
    ones = torch.ones(BINS)
    result = Harmonized(sums.losses.sum(), ones, ones)
    with_gradient(result, sums, nonfinite, *arguments).loss.backward()
    assert len(calls) == 1


def test_the_loss_may_be_changed_in_place(backend):
    (level,) = with_factors(list(classification(torch.float32))[:1], (1.0,))
    *_, loss = at_once(SigmoidCrossEntropy(), [level], torch.ones(BINS))
    (once,) = torch.autograd.grad(loss, level.prediction, retain_graph=True)
    loss += 1
    loss *= 2
    torch.testing.assert_close(*torch.autograd.grad(loss, level.prediction), 2 * once)


def test_a_retained_graph_and_none(backend):
    (level,) = with_factors(list(classification(torch.float32))[:1], (1.0,))
    *_, loss = at_once(SigmoidCrossEntropy(), [level], torch.ones(BINS))
    loss.backward(retain_graph=True)
    once = level.prediction.grad.clone()
    loss.backward()
    torch.testing.assert_close(level.prediction.grad, 2 * once)
    with pytest.raises(RuntimeError, match='second time'):
        loss.backward()
    with torch.no_grad():
        *_, number = at_once(SigmoidCrossEntropy(), [level], torch.ones(BINS))
    assert not number.requires_grad
    assert torch.equal(number, loss)


def test_predictions_that_change_before_the_backward_pass_are_noticed():
    (level,) = with_factors(list(classification(torch.float32))[:1], (1.0,))
    changed = level._replace(prediction=level.prediction * 2)
    *_, loss = at_once(SigmoidCrossEntropy(), [changed], torch.ones(BINS))
    changed.prediction.add_(1)
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        loss.backward()
