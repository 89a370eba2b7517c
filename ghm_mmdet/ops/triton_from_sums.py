"""Computes the loss from region sums in one launch, on CUDA.

Density, balance and the mean over the examples are some fifty operations on M numbers, and the host
launches each of them. Here they are one kernel, for unit regions, M up to ``MOST_REGIONS`` and
float32. All else, and a graph that ``torch.compile`` makes, takes the operations of
:mod:`ghm_mmdet.ops.from_sums`, the oracle of this kernel. The names in the kernel are those of
:mod:`ghm_mmdet.method.density` and :mod:`ghm_mmdet.method.balance`.
"""

from __future__ import annotations

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
# Of the (M, M) that isotonic regression computes with, what a warp holds.
TABLE_PER_WARP = 1024

LEAST_SHARE = tl.constexpr(NO_DENSITY)
HALF = tl.constexpr(TOTAL_GRADIENT)


def _takes(density: GradientDensity, sums: RegionSums) -> bool:
    return (
        type(density) is UnitRegionDensity
        and density.bins <= MOST_REGIONS
        and sums.losses.dtype == torch.float32
    )


def loss_from_sums(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    step_sums: RegionSums,
    update_unless: Tensor | None,
) -> Harmonized:
    """See :func:`ghm_mmdet.ops.from_sums.loss_from_sums`; without a gradient."""
    if not _takes(density, sums):
        return from_sums.loss_from_sums(density, balance, reduction, sums, step_sums, update_unless)
    losses, regions = sums.losses, density.bins
    beta, scale, loss = losses.new_empty(regions), losses.new_empty(regions), losses.new_empty(())
    block = triton.next_power_of_2(regions)
    has_state = density.has_state
    corrects = has_state and density.bias_correction
    equal = 'paper' if balance == Balance() else balance.equal
    keeps = balance.outliers == 'keep'
    with torch.cuda.device_of(losses):
        loss_from_sums_kernel[(1,)](
            *(sums.counts, losses, sums.weight_sum, sums.nonfinite),
            *(step_sums.counts, step_sums.weight_sum),
            sums.nonfinite if update_unless is None else update_unless,
            density.moving_average if has_state else beta,
            density.moving_weight if corrects else beta,
            density.edges if equal == 'gradient' else beta,
            *(beta, scale, loss),
            # an integer would be another type to the kernel
            *map(float, (density.momentum, 1 - density.momentum)),
            *map(float, (balance.tempering, reduction.loss_weight)),
            REGIONS=regions,
            BLOCK=block,
            HAS_STATE=has_state,
            STORES=has_state and update_unless is not None,
            BIAS_CORRECTION=corrects,
            PAPER=density.form == 'paper',
            EQUAL=equal,
            KEEPS_OUTLIERS=keeps,
            MEAN=reduction.mean,
            BY_WEIGHT=reduction.by_weight,
            num_warps=max(block * block // TABLE_PER_WARP, 1) if keeps else 1,
        )
    return Harmonized(loss, beta, scale)


@triton.jit
def larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def non_increasing(values, known, BLOCK: tl.constexpr):
    """See :func:`ghm_mmdet.method.isotonic.non_increasing`; row a, column b."""
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
    """Sum over the examples of a value per region, over N."""
    return tl.sum(values * counts) / total


@triton.jit
def shaped(weight, tempering, KEEPS_OUTLIERS: tl.constexpr, BLOCK: tl.constexpr):
    known = weight > 0
    if KEEPS_OUTLIERS:
        weight = 1 / non_increasing(1 / tl.where(known, weight, 1.0), known, BLOCK)
    # in float64, whose functions are exact; those of float32 are approximations of the hardware
    logarithm = tl.log(tl.where(known, weight, 1.0).to(tl.float64))
    return tl.where(known, tl.exp(tempering * logarithm), 0.0).to(tl.float32)


@triton.jit
def gradient_density(
    region_counts,
    region,
    inside,
    update_unless,
    moving_average,
    moving_weight,
    momentum,
    rest,
    REGIONS: tl.constexpr,
    HAS_STATE: tl.constexpr,
    STORES: tl.constexpr,
    BIAS_CORRECTION: tl.constexpr,
    PAPER: tl.constexpr,
):
    """GD of each region; the moving average behind it is stored in place."""
    smoothed = region_counts
    if HAS_STATE:
        old = tl.load(moving_average + region, mask=inside, other=0.0)
        new = average(old, region_counts, region_counts, momentum, rest, PAPER)
        smoothed = new
        if BIAS_CORRECTION:
            old_weight = tl.load(moving_weight + region, mask=inside, other=0.0)
            weight = average(old_weight, 1.0, region_counts, momentum, rest, PAPER)
            smoothed = new / tl.where(weight > 0, weight, 1.0)
        if STORES:
            # read once per region, as Triton 3.9 interprets no mask of a single number
            stores = inside & (tl.load(update_unless + tl.zeros_like(region)) == 0)
            # several warps may hold the same regions, and all of them have to have read them
            tl.debug_barrier()
            tl.store(moving_average + region, new, mask=stores)
            if BIAS_CORRECTION:
                tl.store(moving_weight + region, weight, mask=stores)
    if PAPER:
        return smoothed * REGIONS
    return smoothed * tl.sum((region_counts > 0).to(tl.int32)).to(tl.float32)


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
def examples(counts, weight_sum, region, inside, BY_WEIGHT: tl.constexpr):
    """N, the number of examples or the sum of the weights, at least 1."""
    if BY_WEIGHT:
        total = tl.load(weight_sum)
    else:
        total = tl.sum(tl.load(counts + region, mask=inside, other=0)).to(tl.float32)
    return tl.maximum(total, 1.0)


@triton.jit
def loss_from_sums_kernel(
    counts,
    losses,
    weight_sum,
    nonfinite,
    step_counts,
    step_weight_sum,
    update_unless,
    moving_average,
    moving_weight,
    edges,
    beta_out,
    scale_out,
    loss_out,
    momentum,
    rest,
    tempering,
    factor,
    REGIONS: tl.constexpr,
    BLOCK: tl.constexpr,
    HAS_STATE: tl.constexpr,
    STORES: tl.constexpr,
    BIAS_CORRECTION: tl.constexpr,
    PAPER: tl.constexpr,
    EQUAL: tl.constexpr,
    KEEPS_OUTLIERS: tl.constexpr,
    MEAN: tl.constexpr,
    BY_WEIGHT: tl.constexpr,
):
    """One program: beta (M,), d loss / d losses (M,), the loss, and the moving average in place."""
    region = tl.arange(0, BLOCK)
    inside = region < REGIONS
    region_counts = tl.load(step_counts + region, mask=inside, other=0).to(tl.float32)
    density = gradient_density(
        region_counts,
        region,
        inside,
        update_unless,
        moving_average,
        moving_weight,
        momentum,
        rest,
        REGIONS,
        HAS_STATE,
        STORES,
        BIAS_CORRECTION,
        PAPER,
    )
    total = examples(step_counts, step_weight_sum, region, inside, BY_WEIGHT)
    occupied = density > total * LEAST_SHARE
    beta = tl.where(occupied, total / tl.where(occupied, density, 1.0), 0.0)
    beta = balanced(
        beta, region_counts, total, region, inside, edges, tempering, EQUAL, KEEPS_OUTLIERS, BLOCK
    )
    poisoned = tl.load(nonfinite) > 0
    beta = tl.where(poisoned, float('nan'), beta)
    tl.store(beta_out + region, beta, mask=inside)

    scale = beta * factor
    if MEAN:
        scale = scale / examples(counts, weight_sum, region, inside, BY_WEIGHT)
    tl.store(scale_out + region, scale, mask=inside)
    terms = scale * tl.load(losses + region, mask=inside, other=0.0)
    tl.store(loss_out, tl.sum(tl.where(inside, terms, 0.0)))
