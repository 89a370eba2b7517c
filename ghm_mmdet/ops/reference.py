"""Direct back end: the definition in a few whole-tensor operations; the oracle of all others.

With unit regions L = (1/N) sum_i beta_i l_i = (1/N) sum_j beta_j (sum of l_i over region j), so the
forward pass needs only counts and loss sums per region, and the backward pass multiplies each
example's own gradient with what its region's sum receives. Nothing is saved but the inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ghm_mmdet.criteria import Criterion, DenseTarget, Evaluation, LabelTarget, Target
from ghm_mmdet.density import region_index
from ghm_mmdet.ops.sums import RegionSums


def region_sums(
    criterion: Criterion,
    prediction: Tensor,
    target: Target,
    weight: Tensor | None,
    edges: Tensor,
) -> RegionSums:
    """Counts and differentiable loss sums per region of the gradient norm.

    Args:
        criterion: What an example is.
        prediction: Logits or box coordinates, any float dtype.
        target: The targets; no gradient flows to them.
        weight: Broadcastable to the examples, or None for all ones. Examples with a weight of 0 or
            less are in no region; the size of a positive weight does not scale the loss (as in
            mmdet).
        edges: Region edges, shape (M + 1,).
    """
    tensors = (target.labels, target.score) if isinstance(target, LabelTarget) else target
    return RegionSums(*_RegionSums.apply(prediction, weight, edges, criterion, *tensors))


def example_losses(
    criterion: Criterion,
    prediction: Tensor,
    target: Target,
    weight: Tensor | None,
    edges: Tensor,
    beta: Tensor,
) -> Tensor:
    """beta_i l_i of every example, 0 where it is ignored; beta is constant in the backward pass.

    Args:
        beta: Weight per region, shape (M,). The other arguments are those of :func:`region_sums`.
    """
    tensors = (target.labels, target.score) if isinstance(target, LabelTarget) else target
    return _ExampleLosses.apply(prediction, weight, edges, beta, criterion, *tensors)


def _rebuild_target(tensors: tuple[Tensor | None, ...]) -> Target:
    return DenseTarget(*tensors) if len(tensors) == 1 else LabelTarget(*tensors)


def _valid(weight: Tensor | None, like: Tensor) -> Tensor:
    if weight is None:
        return torch.ones_like(like, dtype=torch.bool)
    return (weight > 0).expand_as(like)


def _index(evaluation: Evaluation, valid: Tensor, edges: Tensor) -> Tensor:
    """Region of each example; M, one past the last, where it is ignored or not finite."""
    index = region_index(evaluation.gradient_norm, edges)
    return index.where(valid & evaluation.finite, edges.numel() - 1)


class _RegionSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction, weight, edges, criterion, *tensors):
        evaluation = criterion.evaluate(prediction, _rebuild_target(tensors))
        valid = _valid(weight, evaluation.loss)
        index = _index(evaluation, valid, edges)
        counts = _sum_by_index(torch.ones_like(index), index, edges)
        # float64: a float32 running sum stalls once it is 2^24 times its next term
        losses = _sum_by_index(evaluation.loss.double(), index, edges)
        nonfinite = (valid & ~evaluation.finite).sum()
        weights = valid if weight is None else weight.expand_as(valid).where(valid, 0)
        weight_sum = weights.sum(dtype=torch.float64)
        ctx.save_for_backward(prediction, weight, edges, *tensors)
        ctx.criterion = criterion
        ctx.mark_non_differentiable(counts, nonfinite)
        dtype = evaluation.loss.dtype
        return counts, losses.to(dtype), weight_sum.to(dtype), nonfinite

    @staticmethod
    @once_differentiable
    def backward(ctx, _counts, grad_losses, _weight_sum, _nonfinite):
        gradient = _scaled_gradient(ctx, grad_losses)
        return gradient, *[None] * (len(ctx.needs_input_grad) - 1)


class _ExampleLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, prediction, weight, edges, beta, criterion, *tensors):
        evaluation = criterion.evaluate(prediction, _rebuild_target(tensors))
        valid = _valid(weight, evaluation.loss)
        index = _index(evaluation, valid, edges)
        ctx.save_for_backward(prediction, weight, edges, *tensors)
        ctx.criterion = criterion
        ctx.beta = beta
        loss = evaluation.loss.where(valid, 0)
        return loss * _take(beta.to(loss.dtype), index)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        gradient = _scaled_gradient(ctx, ctx.beta, grad_output)
        return gradient, *[None] * (len(ctx.needs_input_grad) - 1)


def _sum_by_index(values: Tensor, index: Tensor, edges: Tensor) -> Tensor:
    """Sum of the values per region, shape (M,); what has index M is dropped."""
    sums = values.new_zeros(edges.numel())
    return sums.scatter_add_(0, index.flatten(), values.flatten())[:-1]


def _take(per_region: Tensor, index: Tensor) -> Tensor:
    """The region's value for every example, 0 at index M."""
    return torch.cat([per_region, per_region.new_zeros(1)])[index]


def _scaled_gradient(ctx, per_region: Tensor, grad_output: Tensor | None = None) -> Tensor:
    prediction, weight, edges, *tensors = ctx.saved_tensors
    target = _rebuild_target(tuple(tensors))
    evaluation = ctx.criterion.evaluate(prediction, target)
    valid = _valid(weight, evaluation.loss)
    gradient = ctx.criterion.gradient(prediction, target)
    scale = _take(per_region.to(gradient.dtype), _index(evaluation, valid, edges))
    if grad_output is not None:
        scale = scale * grad_output
    # where, not a product: an ignored NaN must not leave a NaN behind
    return (gradient * scale).where(valid, 0).to(prediction.dtype)
