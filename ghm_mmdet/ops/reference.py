"""Direct back end: the definition in a few whole-tensor operations; the oracle of all others.

It runs on any device and in float64, and takes memory for several copies of the prediction.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, Evaluation
from ghm_mmdet.method.density import region_index
from ghm_mmdet.ops.examples import Examples, RegionSums, scaled
from ghm_mmdet.ops.target_range import bad_targets


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    # float64: a float32 running sum stops growing once it is 2^24 times its next term
    return sums_added_by(sum_by_index, torch.float64, criterion, examples, edges)


def sums_added_by(
    add: Callable[[Tensor, Tensor, Tensor], Tensor],
    dtype: torch.dtype,
    criterion: Criterion,
    examples: Examples,
    edges: Tensor,
) -> RegionSums:
    """Compute :func:`region_sums` with another way to add losses.

    Args:
        add: Has the arguments and the result of :func:`sum_by_index`.
        dtype: In which losses and weights are added.
        criterion: See :func:`region_sums`, also for the other arguments.
    """
    prediction, target, weight, _ = examples
    evaluation = criterion.evaluate(prediction, target)
    valid = _valid(weight, evaluation.loss)
    index = _index(evaluation, valid, edges)
    weights = valid if weight is None else weight.expand_as(valid).where(valid, 0)
    result = evaluation.loss.dtype
    return RegionSums(
        counts=sum_by_index(torch.ones_like(index), index, edges),
        losses=add(evaluation.loss.to(dtype), index, edges).to(result),
        weight_sum=weights.sum(dtype=dtype).to(result),
        nonfinite=(valid & ~evaluation.finite).sum(),
        bad_targets=bad_targets(criterion, examples),
    )


def gradient(
    criterion: Criterion,
    examples: Examples,
    edges: Tensor,
    scale: Tensor,
    grad_output: float | Tensor = 1.0,
) -> Tensor:
    """Each example's own gradient times the scale of its region, in the prediction's dtype.

    Args:
        criterion: Of the examples.
        examples: Their factor is not applied.
        edges: Region edges, shape (M + 1,).
        scale: Derivative of the loss with respect to each region's loss sum, shape (M,).
        grad_output: Derivative with respect to each example's loss, see :func:`example_losses`.
    """
    prediction, target, weight, _ = examples
    evaluation = criterion.evaluate(prediction, target)
    valid = _valid(weight, evaluation.loss)
    derivative = criterion.gradient(prediction, target)
    of_example = _take(scale.to(derivative.dtype), _index(evaluation, valid, edges))
    # `where` and not a product: an ignored NaN must not become a NaN gradient
    result = (derivative * scaled(of_example, grad_output)).where(valid, 0)
    return result.to(prediction.dtype)


def example_losses(criterion: Criterion, examples: Examples, edges: Tensor, beta: Tensor) -> Tensor:
    """beta_i l_i of every example, see :func:`ghm_mmdet.ops.example_losses`; no gradient."""
    evaluation = criterion.evaluate(examples.prediction, examples.target)
    valid = _valid(examples.weight, evaluation.loss)
    loss = evaluation.loss.where(valid, 0)
    return loss * _take(beta.to(loss.dtype), _index(evaluation, valid, edges))


def _valid(weight: Tensor | None, like: Tensor) -> Tensor:
    if weight is None:
        return torch.ones_like(like, dtype=torch.bool)
    return (weight > 0).expand_as(like)


def _index(evaluation: Evaluation, valid: Tensor, edges: Tensor) -> Tensor:
    """Region of each example; M, one past the last, if it is ignored or not finite."""
    index = region_index(evaluation.gradient_norm, edges)
    return index.where(valid & evaluation.finite, edges.numel() - 1)


def sum_by_index(values: Tensor, index: Tensor, edges: Tensor) -> Tensor:
    """Sum of the values per region, shape (M,); values with index M are dropped.

    Args:
        values: Any shape.
        index: Region of each, int64, of the same shape.
        edges: Shape (M + 1,).
    """
    sums = values.new_zeros(edges.numel())
    return sums.scatter_add_(0, index.flatten(), values.flatten())[:-1].clone()


def _take(per_region: Tensor, index: Tensor) -> Tensor:
    """The region's value for every example, 0 at index M."""
    return torch.cat([per_region, per_region.new_zeros(1)])[index]
