"""The autograd function at the end of a loss: the gradient of all levels in one more read of them.

Autograd need not follow the computation of the loss from the region sums: this function has the
scale of every region.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.ops.examples import Examples, scaled
from ghm_mmdet.ops.from_sums import HarmonizedLoss
from ghm_mmdet.ops.operators import laid_out_as


def attach_gradient(
    result: HarmonizedLoss,
    criterion: Criterion,
    levels: Sequence[Examples],
    edges: Tensor,
    backend: ModuleType,
) -> HarmonizedLoss:
    """Give a loss its graph to the predictions: an example of region j gets scale_j dl/dx.

    Args:
        result: Of the levels, without a graph.
        criterion: Of the examples.
        levels: At least one.
        edges: Region edges, shape (M + 1,).
        backend: Computes the gradients, see :mod:`ghm_mmdet.ops.backends`.
    """
    tensors = [tensor for level in levels for tensor in level.tensors]
    factors = [level.factor for level in levels]
    loss = _Gradient.apply(result.loss, result.scale, edges, criterion, backend, factors, *tensors)
    return HarmonizedLoss(loss, *result[1:])


class _Gradient(torch.autograd.Function):
    """Passes a loss through, and computes the weighted gradient of every example backward."""

    PER_LEVEL = 5
    """Tensors of a level: prediction, labels, score, values and weight."""

    # with a separate setup_context, PyTorch would inspect forward's signature in every call
    @staticmethod
    def forward(ctx, loss, scale, edges, criterion, backend, factors, *tensors):
        ctx.save_for_backward(scale, edges, *tensors)
        ctx.criterion, ctx.backend, ctx.factors = criterion, backend, factors
        return loss.detach()  # without it the result would be a view, which must not be changed

    @staticmethod
    def backward(ctx, above):
        # autograd enables gradients here only for a second derivative
        if torch.is_grad_enabled():
            raise RuntimeError('a GHM loss has no second derivative: leave out create_graph=True')
        scale, edges, *tensors = ctx.saved_tensors
        size, first = _Gradient.PER_LEVEL, len(ctx.needs_input_grad) - len(tensors)
        starts = [s for s in range(0, len(tensors), size) if ctx.needs_input_grad[first + s]]
        levels = [
            Examples.of_tensors(*tensors[start : start + size])._replace(
                factor=ctx.factors[start // size]
            )
            for start in starts
        ]
        compute = getattr(ctx.backend, 'level_gradients', None)
        results = compute and compute(ctx.criterion, levels, edges, scale, above)
        if results is None:
            scale = scale * above
            results = [
                ctx.backend.gradient(ctx.criterion, each, edges, scaled(scale, each.factor))
                for each in levels
            ]
        gradients: list[Tensor | None] = [None] * len(ctx.needs_input_grad)
        for start, level, result in zip(starts, levels, results):
            gradients[first + start] = laid_out_as(level.prediction, result)
        return tuple(gradients)
