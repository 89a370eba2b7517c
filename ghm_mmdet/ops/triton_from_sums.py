"""Computes the loss from region sums inside one kernel, on CUDA.

Density, balance and the mean over the examples are about fifty operations on M numbers, and the
host launches each of them. Here they are one function, for unit regions, M up to ``MOST_REGIONS``
and float32. It runs at the end of the kernel that makes the sums, or as a kernel of its own, for
example if counts are added in between. All other calls, and graphs of ``torch.compile``, use
:mod:`ghm_mmdet.ops.from_sums`, the oracle of this kernel. The names in the kernel are those of
:mod:`ghm_mmdet.method.density` and :mod:`ghm_mmdet.method.balance`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ghm_mmdet.method.balance import TOTAL_GRADIENT, Balance
from ghm_mmdet.method.density import NO_DENSITY, GradientDensity, UnitRegionDensity
from ghm_mmdet.ops import from_sums
from ghm_mmdet.ops.examples import RegionSums
from ghm_mmdet.ops.from_sums import Harmonized, Reduction

MOST_REGIONS = 128
# Entries of isotonic regression's (M, M) table that one warp holds.
TABLE_PER_WARP = 1024

LEAST_SHARE = tl.constexpr(NO_DENSITY)
HALF = tl.constexpr(TOTAL_GRADIENT)


class Harmonizing(NamedTuple):
    """The arguments of :func:`harmonize` for density, balance and reduction.

    Attributes:
        state: See :func:`harmonize`.
        numbers: Four floats, see :func:`harmonize`.
        how: HOW of :func:`harmonize`.
    """

    state: tuple[Tensor | None, Tensor | None, Tensor | None]
    numbers: tuple[float, float, float, float]
    how: tuple[bool, bool, bool, bool, str, bool, bool, bool]

    @classmethod
    def of(
        cls, density: GradientDensity, balance: Balance, reduction: Reduction, updates: bool
    ) -> Harmonizing | None:
        """None if the kernel cannot compute it."""
        if type(density) is not UnitRegionDensity or density.bins > MOST_REGIONS:
            return None
        has_state = density.has_state
        corrects = has_state and density.bias_correction
        equal = 'paper' if balance == Balance() else balance.equal
        momentum = float(density.momentum)
        return cls(
            (
                density.moving_average if has_state else None,
                density.moving_weight if corrects else None,
                density.edges if equal == 'gradient' else None,
            ),
            # an integer would be another type to the kernel
            (momentum, 1 - momentum, float(balance.tempering), float(reduction.loss_weight)),
            (
                *(has_state, has_state and updates, corrects, density.form == 'paper'),
                *(equal, balance.outliers == 'keep', reduction.mean, reduction.by_weight),
            ),
        )

    @property
    def keeps_outliers(self) -> bool:
        """Whether it needs an isotonic regression, with a table of M x M."""
        return self.how[5]


NOTHING = (None, None, None), (0.0, 1.0, 0.0, 1.0), None
"""Replaces :class:`Harmonizing` if no loss is computed."""


def loss_from_sums(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    step_sums: RegionSums,
    update_unless: Tensor | None,
) -> Harmonized:
    """See :func:`ghm_mmdet.ops.from_sums.loss_from_sums`; without a gradient."""
    harmonizing = Harmonizing.of(density, balance, reduction, update_unless is not None)
    losses = sums.losses
    if harmonizing is None or losses.dtype != torch.float32:
        return from_sums.loss_from_sums(density, balance, reduction, sums, step_sums, update_unless)
    regions = density.bins
    beta, scale, loss = losses.new_empty(regions), losses.new_empty(regions), losses.new_empty(())
    size = triton.next_power_of_2(regions)
    with torch.cuda.device_of(losses):
        loss_from_sums_kernel[(1,)](
            *(sums.counts, losses, sums.weight_sum, sums.nonfinite),
            *(step_sums.counts, step_sums.weight_sum),
            sums.nonfinite if update_unless is None else update_unless,
            (beta, scale, loss),
            # Triton 3.4 takes no None in a tuple
            tuple(beta if each is None else each for each in harmonizing.state),
            harmonizing.numbers,
            REGIONS=regions,
            BLOCK=size,
            HOW=harmonizing.how,
            num_warps=max(size * size // TABLE_PER_WARP, 1) if harmonizing.keeps_outliers else 1,
        )
    return Harmonized(loss, beta, scale)


@triton.jit
def larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def non_increasing(values, known, BLOCK: tl.constexpr):
    """See :func:`ghm_mmdet.method.isotonic.non_increasing`; its a is the row, its b the column."""
    column = tl.arange(0, BLOCK)[None, :]
    behind = column >= tl.arange(0, BLOCK)[:, None]
    use = behind & known[None, :]
    length = tl.cumsum(tl.where(use, 1.0, 0.0).to(tl.float64), 1)
    total = tl.cumsum(tl.where(use, values[None, :], 0.0).to(tl.float64), 1)
    mean = tl.where(length > 0, total / tl.maximum(length, 1.0), float('-inf'))
    highest = tl.associative_scan(mean, 1, larger, reverse=True)
    counts = behind & (highest > float('-inf'))
    return tl.min(tl.where(counts, highest, float('inf')), 0).to(tl.float32)


@triton.jit
def average(old, new, counts, momentum, rest, PAPER: tl.constexpr):
    blended = momentum * old + rest * new
    return blended if PAPER else tl.where(counts > 0, blended, old)


@triton.jit
def share_of_total(values, counts, total):
    """The sum over all examples of the value of their region, divided by N."""
    return tl.sum(values * counts) / total


@triton.jit
def shaped(weight, tempering, KEEPS_OUTLIERS: tl.constexpr, BLOCK: tl.constexpr):
    known = weight > 0
    if KEEPS_OUTLIERS:
        weight = 1 / non_increasing(1 / tl.where(known, weight, 1.0), known, BLOCK)
    # in float64, whose functions are exact; those of float32 are hardware approximations
    logarithm = tl.log(tl.where(known, weight, 1.0).to(tl.float64))
    return tl.where(known, tl.exp(tempering * logarithm), 0.0).to(tl.float32)


@triton.jit
def gradient_density(
    counts,
    region,
    inside,
    update_unless,
    state,
    numbers,
    REGIONS: tl.constexpr,
    HOW: tl.constexpr,
):
    """GD of each region; the new moving average is stored in place."""
    PAPER: tl.constexpr = HOW[3]
    smoothed = counts
    if HOW[0]:
        momentum, rest = numbers[0], numbers[1]
        old = tl.load(state[0] + region, mask=inside, other=0.0)
        new = average(old, counts, counts, momentum, rest, PAPER)
        smoothed = new
        if HOW[2]:
            old_weight = tl.load(state[1] + region, mask=inside, other=0.0)
            weight = average(old_weight, 1.0, counts, momentum, rest, PAPER)
            smoothed = new / tl.where(weight > 0, weight, 1.0)
        if HOW[1]:
            # once per region, as the interpreter of Triton 3.9 takes no mask of a single number
            stores = inside & (update_unless + tl.zeros_like(region) == 0)
            # several warps may hold the same regions: all must have read before one of them stores
            tl.debug_barrier()
            tl.store(state[0] + region, new, mask=stores)
            if HOW[2]:
                tl.store(state[1] + region, weight, mask=stores)
    if PAPER:
        return smoothed * REGIONS
    return smoothed * tl.sum((counts > 0).to(tl.int32)).to(tl.float32)


@triton.jit
def balanced(
    beta,
    region_counts,
    total,
    region,
    inside,
    edges,
    tempering,
    EQUAL: tl.constexpr,
    KEEPS_OUTLIERS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """See :class:`ghm_mmdet.method.balance.Balance`."""
    if EQUAL == 'weight':
        beta = shaped(beta, tempering, KEEPS_OUTLIERS, BLOCK)
        share = share_of_total(beta, region_counts, total)
        beta = beta / tl.where(share > 0, share, 1.0)
    if EQUAL == 'gradient':
        left = tl.load(edges + region, mask=inside, other=1.0)
        right = tl.load(edges + region + 1, mask=inside, other=1.0)
        gradient_norm = (left + right) / 2
        beta = shaped(beta / gradient_norm, tempering, KEEPS_OUTLIERS, BLOCK)
        share = share_of_total(beta * gradient_norm, region_counts, total)
        beta = beta * HALF / tl.where(share > 0, share, 1.0)
    return beta


@triton.jit
def number_of_examples(counts, weight_sum, BY_WEIGHT: tl.constexpr):
    """N, the number of examples or the sum of the weights, at least 1."""
    total = weight_sum if BY_WEIGHT else tl.sum(counts).to(tl.float32)
    return tl.maximum(total, 1.0)


@triton.jit
def harmonize(
    sums,
    step_counts,
    step_weight_sum,
    update_unless,
    harmonized,
    state,
    numbers,
    REGIONS: tl.constexpr,
    BLOCK: tl.constexpr,
    HOW: tl.constexpr,
):
    """The loss from region sums that one program holds; the moving average is changed in place.

    Args:
        sums: Counts and losses (BLOCK,), of which M are regions; weight sum and the number of
            examples that are not finite.
        step_counts: Of the whole optimizer step (BLOCK,).
        step_weight_sum: Of the whole optimizer step.
        update_unless: The moving average changes only if this is 0.
        harmonized: Where to write beta (M,), d loss / d losses (M,) and the loss.
        state: Moving average, its weight and region edges, or None where they are not used.
        numbers: Momentum and 1 - momentum, tempering and loss weight.
        REGIONS: M.
        BLOCK: A power of two, at least M.
        HOW: Whether there is a moving average, whether it is stored, whether its bias is corrected,
            whether the density is the paper's, what is equal, whether outliers are kept, whether
            the loss is a mean, and whether that mean is by weight.
    """
    EQUAL: tl.constexpr = HOW[4]
    KEEPS_OUTLIERS: tl.constexpr = HOW[5]
    BY_WEIGHT: tl.constexpr = HOW[7]
    counts, losses, weight_sum, nonfinite = sums
    region = tl.arange(0, BLOCK)
    inside = region < REGIONS
    region_counts = step_counts.to(tl.float32)
    density = gradient_density(
        region_counts, region, inside, update_unless, state, numbers, REGIONS, HOW
    )
    total = number_of_examples(step_counts, step_weight_sum, BY_WEIGHT)
    occupied = density > total * LEAST_SHARE
    beta = tl.where(occupied, total / tl.where(occupied, density, 1.0), 0.0)
    beta = balanced(
        beta,
        region_counts,
        total,
        region,
        inside,
        state[2],
        numbers[2],
        EQUAL,
        KEEPS_OUTLIERS,
        BLOCK,
    )
    beta = tl.where(nonfinite > 0, float('nan'), beta)
    tl.store(harmonized[0] + region, beta, mask=inside)

    scale = beta * numbers[3]
    if HOW[6]:
        scale = scale / number_of_examples(counts, weight_sum, BY_WEIGHT)
    tl.store(harmonized[1] + region, scale, mask=inside)
    tl.store(harmonized[2], tl.sum(tl.where(inside, scale * losses, 0.0)))


@triton.jit
def loss_from_sums_kernel(
    counts,
    losses,
    weight_sum,
    nonfinite,
    step_counts,
    step_weight_sum,
    update_unless,
    harmonized,
    state,
    numbers,
    REGIONS: tl.constexpr,
    BLOCK: tl.constexpr,
    HOW: tl.constexpr,
):
    """One program, for sums in memory; see :func:`harmonize`."""
    region = tl.arange(0, BLOCK)
    inside = region < REGIONS
    sums = (
        tl.load(counts + region, mask=inside, other=0),
        tl.load(losses + region, mask=inside, other=0.0),
        tl.load(weight_sum),
        tl.load(nonfinite),
    )
    harmonize(
        sums,
        tl.load(step_counts + region, mask=inside, other=0),
        tl.load(step_weight_sum),
        tl.load(update_unless),
        harmonized,
        state,
        numbers,
        REGIONS,
        BLOCK,
        HOW,
    )
