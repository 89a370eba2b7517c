"""What holds for any input: finite in, finite out, bounded gradients, no order, any split."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.call_forms import box_target, classification_target
from ghm_mmdet.method.criteria import working_dtype
from ghm_mmdet.method.density import region_index
from ghm_mmdet.ops import cpp_ops, use_backend
from ghm_mmdet.ops.self_check import NEAR_AN_EDGE

BACK_ENDS = ['reference', 'torch', *([] if cpp_ops.obstacle() else ['cpp'])]
EXTREMES = [0.0, -0.0, 1e-40, -1e-40, 88.0, -88.0, 104.0, -104.0, 1e4, -1e4]
NUMBERS = st.one_of(st.sampled_from(EXTREMES), st.floats(-20, 20, width=32))
WEIGHTS = st.sampled_from([0.0, -1.0, 1e-30, 0.5, 1.0, 7.0, 1e30])
# a half-precision gradient is rounded to its dtype once
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float32: 1e-4, torch.float64: 1e-5}


class Case(NamedTuple):
    """A loss by its class and arguments, and a call."""

    kind: type[GHMLoss]
    arguments: dict
    prediction: Tensor
    target: Tensor
    weight: Tensor | None

    def make(self, **changes: object) -> GHMLoss:
        return self.kind(**{**self.arguments, **changes})

    def rows(self, part: Tensor | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        weight = None if self.weight is None else self.weight[part]
        return self.prediction[part], self.target[part], weight


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(['sigmoid', 'softmax', 'boxes']))
    rows, columns = draw(st.integers(0, 12)), draw(st.integers(2 if kind == 'softmax' else 1, 5))

    def matrix(numbers: st.SearchStrategy[float]) -> Tensor:
        flat = draw(st.lists(numbers, min_size=rows * columns, max_size=rows * columns))
        return torch.tensor(flat, dtype=torch.float64).reshape(rows, columns)

    dtype = draw(st.sampled_from(list(TOLERANCE)))
    prediction = matrix(NUMBERS).to(dtype)
    if draw(st.booleans()):  # another layout of the same numbers
        prediction = prediction.t().contiguous().t()
    last = columns - (kind == 'softmax')
    labels = draw(st.lists(st.integers(0, last), min_size=rows, max_size=rows))
    target = matrix(NUMBERS).to(dtype) if kind == 'boxes' else torch.tensor(labels).long()
    weight = draw(st.none() | st.lists(WEIGHTS, min_size=rows, max_size=rows))
    arguments = dict(
        bins=draw(st.integers(1, 40)),
        momentum=draw(st.sampled_from([0, 0.5, 0.9])),
        loss_weight=draw(st.sampled_from([0.3, 1.0, 10.0])),
    )
    if kind != 'boxes':
        arguments['use_sigmoid'] = kind == 'sigmoid'
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float32)
    return Case(GHMRLoss if kind == 'boxes' else GHMCLoss, arguments, prediction, target, weight)


def value_and_gradient(loss: GHMLoss, case: Case, backend: str) -> tuple[Tensor, Tensor]:
    prediction = case.prediction.clone().requires_grad_()
    with use_backend(backend):
        value = loss(prediction, case.target, case.weight)
    value.backward()
    return value.detach(), prediction.grad


def gradient_norm(loss: GHMLoss, case: Case, prediction: Tensor) -> Tensor:
    """g_i of each example by the definition, (N, C), with softmax (N, 1)."""
    if case.kind is GHMRLoss:
        target = box_target(prediction, case.target)
    else:
        target = classification_target(prediction, case.target, scores=loss.use_sigmoid)
    return loss.criterion.evaluate(prediction, target).gradient_norm


def share_of_region(loss: GHMLoss, case: Case, counts: Tensor) -> Tensor:
    """g_i / R_ind(i) of each example, float64, in the shape of the gradient norms."""
    norm = gradient_norm(loss, case, case.prediction)
    index = region_index(norm, loss.density.edges)
    # an example that is ignored may be in a region that has no other
    return norm.double() / counts.clamp(min=1)[index]


def is_decided_by_rounding(case: Case) -> bool:
    """Whether an example is so near an edge, and not on it, that rounding decides on its region."""
    loss = case.make()
    norm = gradient_norm(loss, case, case.prediction.double())
    distance = (norm.unsqueeze(-1) - loss.density.edges[1:-1].double()).abs()
    return bool(((distance > 0) & (distance < NEAR_AN_EDGE)).any())


def check_finite_and_bounded(case: Case) -> None:
    assume(not is_decided_by_rounding(case))
    for backend in BACK_ENDS:
        loss = case.make()
        value, gradient = value_and_gradient(loss, case, backend)
        assert value.isfinite() and value >= 0
        assert gradient.isfinite().all()
        counts = loss.statistics.counts
        regions = max(int((counts > 0).sum()), 1)
        # beta_i / N = 1 / (n R_ind(i)), at the start of the average 1 / (1 - momentum) of that
        scale = case.arguments['loss_weight'] / (1 - case.arguments['momentum']) / regions
        bound = scale * share_of_region(loss, case, counts)
        dtype = case.prediction.dtype
        # g = 1 - p is off by an eps; what is below the smallest number may be rounded up to it
        rounding = 4 * scale * torch.finfo(working_dtype(case.prediction)).eps
        slack = dict(rtol=TOLERANCE[dtype], atol=rounding + torch.finfo(dtype).smallest_normal)
        largest = gradient.double().abs()
        if bound.size(1) == 1:  # softmax: one example, of several logits
            largest = largest.amax(dim=1, keepdim=True)
        torch.testing.assert_close(largest.maximum(bound), bound, **slack)
        # the whole gradient of a region is at most its share of the weight
        terms = 2 if case.arguments.get('use_sigmoid') is False else 1
        bound = terms * scale * max(int((counts > 0).sum()), 0)
        assert gradient.double().abs().sum() <= bound * 1.01 + 1e-6


def check_order_and_splits_do_not_matter(case: Case) -> None:
    assume(not is_decided_by_rounding(case))
    value, gradient = value_and_gradient(case.make(), case, 'reference')
    tolerance = dict(rtol=TOLERANCE[case.prediction.dtype], atol=1e-5)
    order = torch.randperm(len(case.prediction), generator=torch.Generator().manual_seed(0))
    for backend in BACK_ENDS:
        again, again_gradient = value_and_gradient(case.make(), case, backend)
        torch.testing.assert_close(again, value, **tolerance)
        torch.testing.assert_close(again_gradient, gradient, **tolerance)
        with use_backend(backend):
            permuted = case.make()(*case.rows(order))
            loss = case.make()
            middle = len(case.prediction) // 3
            with loss.split_levels():
                parts = [loss(*case.rows(part)) for part in (slice(middle), slice(middle, None))]
            merged = loss.merge(parts)
        torch.testing.assert_close(permuted, value, **tolerance)
        torch.testing.assert_close(merged, value, **tolerance)


CHECKS = [check_finite_and_bounded, check_order_and_splits_do_not_matter]
FEW = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=10_000)


@pytest.mark.parametrize('check', CHECKS)
def test_properties(check):
    FEW(given(cases())(check))()


@pytest.mark.long
@pytest.mark.parametrize('check', CHECKS)
def test_properties_of_many_examples(check):
    MANY(given(cases())(check))()
