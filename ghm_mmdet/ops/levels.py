"""The levels of a head in one step: their region sums, and the gradient of the loss made of them.

Forward is a pass over each level, backward another. In between are the few numbers per region that
the loss is made of, so autograd has nothing to follow there: one function at the end knows the
scale of every region. For a host that has to keep a device fed, each function, each launch and each
small operation counts.

Inside of a compiler, and for what stands in for a tensor, the differentiable operators of
:mod:`ghm_mmdet.ops.region_ops` do the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.ops import backends
from ghm_mmdet.ops.region_ops import laid_out_as, pack, region_sums, unpack
from ghm_mmdet.ops.sums import Level, RegionSums, scaled, sums_by, total_of_levels

PLAIN = (Tensor, nn.Parameter)
"""What is no stand-in for a tensor, which the dispatcher alone knows to handle."""


def level_sums(
    criterion: Criterion, levels: Sequence[Level], edges: Tensor, backend: str | None = None
) -> tuple[RegionSums, Tensor]:
    """Counts and loss sums per region of all levels, whose factors are in the loss sums.

    Args:
        criterion: What an example is.
        levels: At least one.
        edges: Region edges, shape (M + 1,).
        backend: One of ``backends.MODULES``, or None, see :func:`ghm_mmdet.ops.backends.choose`.

    Returns:
        The sums; and how many examples of each level are not finite, int64, shape (L,).
    """
    if not _is_plain(levels):
        parts = [region_sums(criterion, *level.examples, edges, backend) for level in levels]
        return total_of_levels(levels, parts)
    module = backends.module_for(levels[0].prediction.device, backend)
    with torch.no_grad():
        return sums_by(module, criterion, levels, edges)


def with_gradient(
    loss: Tensor,
    scale: Tensor,
    criterion: Criterion,
    levels: Sequence[Level],
    edges: Tensor,
    backend: str | None = None,
) -> Tensor:
    """The loss with a graph to the predictions: an example of region j gets scale_j dl/dx.

    Args:
        loss: 0-dim, made of :func:`level_sums` of the same arguments.
        scale: Derivative of the loss with respect to each region's loss sum, shape (M,).
        criterion: See :func:`level_sums`.
        levels: See :func:`level_sums`.
        edges: See :func:`level_sums`.
        backend: See :func:`level_sums`.
    """
    if not _is_plain(levels):
        return loss  # the operators have left it a graph
    tensors = []
    for level in levels:
        tensors += level.prediction, *unpack(level.target), level.weight
    factors = [level.factor for level in levels]
    return _HarmonizedLoss.apply(loss, scale, edges, criterion, backend, factors, *tensors)


def _is_plain(levels: Sequence[Level]) -> bool:
    if torch.compiler.is_compiling():
        return False
    return all(type(level.prediction) in PLAIN for level in levels)


class _HarmonizedLoss(torch.autograd.Function):
    """A loss that comes in as a number, and the weighted gradient of every example."""

    PER_LEVEL = 5
    """Tensors of a level: prediction, labels, score, values and weight."""

    # with a setup_context of its own, PyTorch would look at forward's signature in every call
    @staticmethod
    def forward(ctx, loss, scale, edges, criterion, backend, factors, *tensors):
        ctx.save_for_backward(scale, edges, *tensors)
        ctx.criterion, ctx.backend, ctx.factors = criterion, backend, factors
        return loss.detach()  # returned as it is it would be a view, which nobody may change

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        scale, edges, *tensors = ctx.saved_tensors
        scale = scale * above
        module = backends.module_for(scale.device, ctx.backend)
        size, first = _HarmonizedLoss.PER_LEVEL, len(ctx.needs_input_grad) - len(tensors)
        gradients = [None] * len(ctx.needs_input_grad)
        for index, factor in enumerate(ctx.factors):
            start = index * size
            if not ctx.needs_input_grad[first + start]:
                continue
            prediction, *target, weight = tensors[start : start + size]
            own = scaled(scale, factor)
            gradient = module.gradient(ctx.criterion, prediction, pack(*target), weight, edges, own)
            gradients[first + start] = laid_out_as(prediction, gradient)
        return tuple(gradients)
