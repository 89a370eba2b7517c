"""All levels of a loss at once: their region sums, the loss, and its gradient.

The forward pass reads each level once, the backward pass once more. In between, the loss is
computed from a few numbers per region. Each function, each launch and each small operation takes
time of the host, which has to keep the device fed.

In a compiled graph, and for tensor subclasses, the differentiable operators of
:mod:`ghm_mmdet.ops.operators` do the same. Their back end is not chosen here (None), but when they
run.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.method.density import GradientDensity
from ghm_mmdet.ops import backends, from_sums, operators
from ghm_mmdet.ops.compiling import is_compiling
from ghm_mmdet.ops.examples import (
    Examples,
    RegionSums,
    level_sums_by,
    total_of_levels,
)
from ghm_mmdet.ops.from_sums import Harmonized, HarmonizedLoss, Reduction
from ghm_mmdet.ops.gradient import attach_gradient

EXACT_TYPES = (Tensor, nn.Parameter)
"""Subclasses, such as FakeTensor and functional wrappers, must go through PyTorch's dispatcher."""


def choose_backend(levels: Sequence[Examples]) -> ModuleType | None:
    """The back end of a call and of its backward pass; None if the operators are to choose."""
    if is_compiling():
        return None
    if not all(type(level.prediction) in EXACT_TYPES for level in levels):
        return None
    return backends.module_for(levels[0].prediction.device, backends.forced())


def harmonized_loss(
    criterion: Criterion,
    levels: Sequence[Examples],
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    updates: bool,
    backend: ModuleType | None,
) -> HarmonizedLoss:
    """The loss of a call that is a whole optimizer step: only its examples count for its density.

    A back end may compute it at once. Otherwise :func:`level_sums`, :func:`loss_from_sums`
    and :func:`with_gradient` do.

    Args:
        criterion: Of the examples.
        levels: At least one.
        density: Gives the gradient density; its moving average is changed in place.
        balance: How the weights make regions equal.
        reduction: How the loss follows from the sum.
        updates: Whether the moving average changes. It does not change if input is not finite or,
            on a CPU, targets are out of range.
        backend: See :func:`choose_backend`.
    """
    compute = getattr(backend, 'harmonized_loss', None)
    if compute is not None:
        result = compute(criterion, levels, density, balance, reduction, updates)
        if result is not None:
            return result
    edges = density.edges
    sums, nonfinite = level_sums(criterion, levels, edges, backend)
    update_unless = None
    if updates:
        on_cpu = edges.device.type == 'cpu'
        update_unless = sums.nonfinite + sums.bad_targets if on_cpu else sums.nonfinite
    harmonized = loss_from_sums(density, balance, reduction, sums, sums, update_unless, backend)
    return with_gradient(harmonized, sums, nonfinite, criterion, levels, edges, backend)


def level_sums(
    criterion: Criterion, levels: Sequence[Examples], edges: Tensor, backend: ModuleType | None
) -> tuple[RegionSums, Tensor]:
    """Counts and loss sums per region of all levels, with the levels' factors in the loss sums.

    Args:
        criterion: Of the examples.
        levels: At least one.
        edges: Region edges, shape (M + 1,).
        backend: See :func:`choose_backend`.

    Returns:
        The sums; and how many examples of each level are not finite, int64, shape (L,).
    """
    if backend is None:
        parts = [operators.region_sums(criterion, level, edges) for level in levels]
        return total_of_levels(levels, parts)
    with torch.no_grad():
        return level_sums_by(backend, criterion, levels, edges)


def loss_from_sums(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    step_sums: RegionSums,
    update_unless: Tensor | None,
    backend: ModuleType | None,
) -> Harmonized:
    """See :func:`ghm_mmdet.ops.from_sums.loss_from_sums`; the back end computes it if it can."""
    # None has no such function: a compiler fuses these operations by itself
    compute = getattr(backend, 'loss_from_sums', from_sums.loss_from_sums)
    return compute(density, balance, reduction, sums, step_sums, update_unless)


def with_gradient(
    harmonized: Harmonized,
    sums: RegionSums,
    nonfinite: Tensor,
    criterion: Criterion,
    levels: Sequence[Examples],
    edges: Tensor,
    backend: ModuleType | None,
) -> HarmonizedLoss:
    """The loss with a graph to the predictions: an example of region j gets scale_j dl/dx.

    Args:
        harmonized: Computed from the sums.
        sums: The result of :func:`level_sums` for the same arguments.
        nonfinite: Second result of :func:`level_sums`, int64, shape (L,).
        criterion: See :func:`level_sums`, also for the arguments after it.
    """
    loss, beta, scale = harmonized
    losses, scale = sums.losses.detach(), scale.detach()
    result = HarmonizedLoss(loss, beta, scale, sums.counts, losses, nonfinite, sums.bad_targets)
    if backend is None:  # the operators have given it a graph
        return result
    return attach_gradient(result, criterion, levels, edges, backend)
