"""Region sums of every back end against plain loops over examples."""

import pytest
import torch

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, RegionSums, backends, example_losses, region_sums

pytestmark = pytest.mark.usefixtures('backend')

BINS = 7


def classification(dtype=torch.float64, anchors=23, classes=5):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(anchors, classes, dtype=torch.float64, generator=generator) * 3
    labels = torch.randint(0, classes + 1, (anchors,), generator=generator)
    weight = torch.rand(anchors, 1, generator=generator).sub(0.3).clamp(min=0)
    return SigmoidCrossEntropy(), logits.to(dtype), LabelTarget(labels), weight


def regression(dtype=torch.float64, boxes=23):
    generator = torch.Generator().manual_seed(0)
    deltas = torch.randn(boxes, 4, dtype=torch.float64, generator=generator) * 0.05
    weight = torch.rand(boxes, 4, generator=generator).sub(0.3).clamp(min=0)
    return AuthenticSmoothL1(0.02), deltas.to(dtype), DenseTarget(torch.zeros(boxes, 4)), weight


CASES = pytest.mark.parametrize('case', [classification, regression])


def sums_by_loop(criterion, prediction, target, weight, edges):
    evaluation = criterion.evaluate(prediction, target)
    weight = weight.expand_as(prediction)
    counts, losses, total = [0] * BINS, [0.0] * BINS, 0.0
    for where in torch.ones_like(prediction).nonzero().tolist():
        where = tuple(where)
        if weight[where] > 0:
            norm = evaluation.gradient_norm[where]
            region = max(j for j in range(BINS) if edges[j] <= norm)
            counts[region] += 1
            losses[region] += evaluation.loss[where].item()
            total += weight[where].item()
    return counts, losses, total


@CASES
def test_sums_are_those_of_a_loop(case):
    criterion, prediction, target, weight = case()
    edges = region_edges(BINS)
    sums = region_sums(criterion, Examples(prediction, target, weight), edges)
    counts, losses, total = sums_by_loop(criterion, prediction, target, weight, edges)
    assert sums.counts.tolist() == counts
    assert sums.losses.tolist() == pytest.approx(losses)
    assert sums.weight_sum.item() == pytest.approx(total)
    assert sums.nonfinite.item() == 0


@CASES
def test_sums_of_parts_add_up(case):
    criterion, prediction, target, weight = case()
    edges = region_edges(BINS)
    whole = region_sums(criterion, Examples(prediction, target, weight), edges)
    parts = [
        region_sums(
            criterion,
            Examples(
                prediction[part],
                type(target)(*(None if t is None else t[part] for t in target)),
                weight[part],
            ),
            edges,
        )
        for part in (slice(0, 9), slice(9, 9), slice(9, None))
    ]
    merged = RegionSums.total(parts)
    for ours, oracle in zip(merged, whole):
        torch.testing.assert_close(ours, oracle)


@CASES
def test_gradcheck(case):
    criterion, prediction, target, weight = case()
    prediction.requires_grad_()
    edges = region_edges(BINS)
    beta = torch.rand(BINS, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: region_sums(criterion, Examples(x, target, weight), edges).losses, prediction
    )
    assert torch.autograd.gradcheck(
        lambda x: example_losses(criterion, Examples(x, target, weight), edges, beta), prediction
    )


@CASES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(case, dtype):
    criterion, prediction, target, weight = case(dtype)
    edges = region_edges(BINS)
    results = []
    for values in (prediction, prediction.float()):
        values = values.detach().requires_grad_()
        sums = region_sums(criterion, Examples(values, target, weight), edges)
        sums.losses.sum().backward()
        results.append((sums, values.grad))
    (half, half_grad), (single, single_grad) = results
    torch.testing.assert_close(half.counts, single.counts, rtol=0, atol=0)
    torch.testing.assert_close(half.losses, single.losses, rtol=0, atol=0)
    torch.testing.assert_close(half_grad, single_grad.to(dtype), rtol=0, atol=0)


@CASES
def test_ignored_examples_leave_no_trace(case):
    criterion, prediction, target, weight = case()
    edges = region_edges(BINS)
    ignored = (weight == 0).expand_as(prediction)
    assert ignored.any()
    poisoned = prediction.where(~ignored, float('nan')).requires_grad_()
    sums = region_sums(criterion, Examples(poisoned, target, weight), edges)
    sums.losses.sum().backward()
    clean = region_sums(criterion, Examples(prediction, target, weight), edges)
    for ours, oracle in zip(sums, clean):
        torch.testing.assert_close(ours, oracle, rtol=0, atol=0)
    assert (poisoned.grad[ignored] == 0).all()


@CASES
def test_loss_sums_do_not_stall_on_many_small_terms(case):
    criterion, prediction, target, _ = case(torch.float32)
    edges = region_edges(1)
    repeats = 20_000
    many = region_sums(
        criterion,
        Examples(
            prediction.repeat(repeats, 1),
            type(target)(
                *(None if t is None else t.repeat(repeats, *[1] * (t.dim() - 1)) for t in target)
            ),
        ),
        edges,
    )
    once = region_sums(criterion, Examples(prediction.double(), target), edges)
    torch.testing.assert_close(many.losses.double(), once.losses * repeats, rtol=1e-6, atol=0)


def test_an_unknown_back_end_is_refused(monkeypatch):
    monkeypatch.setattr(backends, '_forced', 'fortran')
    criterion, prediction, target, weight = classification()
    with pytest.raises(ValueError, match=f"{backends.VARIABLE}='fortran': must be one of"):
        region_sums(criterion, Examples(prediction, target, weight), region_edges(BINS))


@CASES
@pytest.mark.parametrize('layout', ['contiguous', 'transposed', 'padded rows'])
def test_layout_does_not_matter(case, layout):
    criterion, prediction, target, weight = case(torch.float32)
    edges = region_edges(BINS)
    expected = region_sums(criterion, Examples(prediction, target, weight), edges)
    if layout == 'transposed':
        prediction = prediction.t().contiguous().t()
    elif layout == 'padded rows':
        padded = torch.zeros(len(prediction), prediction.size(1) + 3)
        padded[:, : prediction.size(1)] = prediction
        prediction = padded[:, : prediction.size(1)]
    prediction = prediction.requires_grad_()
    sums = region_sums(criterion, Examples(prediction, target, weight), edges)
    sums.losses.sum().backward()
    torch.testing.assert_close(sums.losses, expected.losses)
    derivative = criterion.gradient(prediction.detach(), target).where(weight > 0, 0)
    torch.testing.assert_close(prediction.grad, derivative.to(prediction.dtype))
