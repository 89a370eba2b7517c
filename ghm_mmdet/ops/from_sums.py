"""From region sums to a loss: density, balance and the mean over the examples."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.density import GradientDensity, harmonizing_weight
from ghm_mmdet.ops.examples import RegionSums


class Harmonized(NamedTuple):
    """A loss and its weights.

    Attributes:
        loss: sum_j scale_j (sum of l_i over region j), float, 0-dim.
        beta: Harmonizing weight per region, float32, shape (M,).
        scale: Derivative of the loss with respect to the loss sums, float, shape (M,).
    """

    loss: Tensor
    beta: Tensor
    scale: Tensor


class HarmonizedLoss(NamedTuple):
    """The results of one call of a loss for all of its levels.

    Attributes:
        loss: With a graph to the predictions, float, 0-dim.
        beta: Harmonizing weight per region, float32, shape (M,).
        scale: Derivative of the loss with respect to the loss sums, without a graph, shape (M,).
        counts: R_j, valid examples per region, int64, shape (M,).
        losses: Sum of the examples' losses per region, without a graph, float, shape (M,).
        nonfinite: Examples of each level with NaN or infinite input, int64, shape (L,).
        bad_targets: See :class:`RegionSums`.
    """

    loss: Tensor
    beta: Tensor
    scale: Tensor
    counts: Tensor
    losses: Tensor
    nonfinite: Tensor
    bad_targets: Tensor


class Reduction(NamedTuple):
    """How to compute the loss from the sum of beta_i l_i over the examples.

    Attributes:
        mean: Whether the sum is divided by N, at least 1.
        by_weight: Whether N is the sum of the weights, and not the number of valid examples.
        loss_weight: Factor of the loss.
    """

    mean: bool
    by_weight: bool
    loss_weight: float

    def total(self, sums: RegionSums) -> Tensor:
        """N, at least 1, float, 0-dim."""
        total = sums.weight_sum if self.by_weight else sums.counts.sum().to(sums.losses.dtype)
        return total.clamp(min=1)


def loss_from_sums(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    step_sums: RegionSums,
    update_unless: Tensor | None,
) -> Harmonized:
    """The loss from these sums, differentiable if ``sums.losses`` is, and its weights.

    These whole-tensor operations are the oracle of the kernel in
    :mod:`ghm_mmdet.ops.triton_from_sums`.

    Args:
        density: Gives the gradient density; its moving average is changed in place.
        balance: How the weights make regions equal.
        reduction: How the loss follows from the sum.
        sums: Of the examples of the loss.
        step_sums: The same with the counts of the whole optimizer step so far, for the density.
        update_unless: The moving average changes only if this 0-dim number is 0. If it is None, the
            moving average does not change.
    """
    beta, average = region_weights(density, balance, reduction, step_sums)
    if update_unless is not None:
        density.store(average, update_unless != 0)
    scale = beta.to(sums.losses.dtype) * reduction.loss_weight
    if reduction.mean:
        scale = scale / reduction.total(sums)
    return Harmonized((scale * sums.losses).sum(), beta, scale)


@torch.no_grad()
def region_weights(
    density: GradientDensity, balance: Balance, reduction: Reduction, sums: RegionSums
) -> tuple[Tensor, list[Tensor]]:
    """beta per region, NaN if any input is not finite; and the new moving average."""
    average = density.average(sums.counts)
    gradient_density = density.density(sums.counts, average)
    total = reduction.total(sums).to(gradient_density.dtype)
    beta = harmonizing_weight(gradient_density, total)
    beta = balance.weight(beta, sums.counts, density.gradient_norm, total)
    return beta.where(sums.nonfinite == 0, float('nan')), average
