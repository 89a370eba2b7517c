"""From region sums to a loss: density.py, balance.py and the mean over the examples, in turn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.density import AverageState, GradientDensity, harmonizing_weight
from ghm_mmdet.ops.sums import RegionSums


class Harmonized(NamedTuple):
    """What becomes of region sums.

    Attributes:
        loss: sum_j scale_j (sum of l_i over region j), float, 0-dim.
        beta: Harmonizing weight per region, float32, shape (M,).
        scale: Derivative of the loss with respect to the loss sums, float, shape (M,).
    """

    loss: Tensor
    beta: Tensor
    scale: Tensor


class Reduction(NamedTuple):
    """How the loss is made of the sum over the examples, beta_i l_i.

    Attributes:
        factor: Of the loss.
        mean: Whether it is divided by N, at least 1.
        by_weight: Whether N is the sum of the weights, and not the number of valid examples.
        skips: Whether input that is not finite makes the loss zero, and not NaN.
    """

    factor: float
    mean: bool
    by_weight: bool
    skips: bool

    def total(self, sums: RegionSums) -> Tensor:
        """N, at least 1, float, 0-dim."""
        total = sums.weight_sum if self.by_weight else sums.counts.sum().to(sums.losses.dtype)
        return total.clamp(min=1)


def in_turn(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    seen: RegionSums,
    keep_old: Tensor | None,
) -> Harmonized:
    """:func:`ghm_mmdet.ops.harmonized_loss` in whole-tensor operations, oracle of the kernel."""
    beta, state = region_weights(density, balance, reduction, seen)
    if keep_old is not None:
        density.store(state, keep_old != 0)
    scale = beta.to(sums.losses.dtype) * reduction.factor
    if reduction.mean:
        scale = scale / reduction.total(sums)
    loss = (scale * sums.losses).sum()
    if reduction.skips:
        loss = loss.where(sums.nonfinite == 0, 0)
    return Harmonized(loss, beta, scale)


@torch.no_grad()
def region_weights(
    density: GradientDensity, balance: Balance, reduction: Reduction, sums: RegionSums
) -> tuple[Tensor, AverageState]:
    """beta per region, of poisoned input NaN or 0, and the moving average behind it."""
    state = density.average(sums.counts)
    gradient_density = density.density(sums.counts, state)
    total = reduction.total(sums).to(gradient_density.dtype)
    beta = harmonizing_weight(gradient_density, total)
    beta = balance.weight(beta, sums.counts, density.gradient_norm, total)
    poisoned = 0.0 if reduction.skips else float('nan')
    return beta.where(sums.nonfinite == 0, poisoned), state
