"""Triton back end: the loss in one read of the logits, their gradient in one more.

It computes :class:`SigmoidCrossEntropy` and :class:`AuthenticSmoothL1` on float16, bfloat16 and
float32 predictions that are a matrix without a copy: (N, C) of any strides, (N,), or (..., C)
whose leading axes merge. The reference computes all other calls: a user's criterion, float64
predictions or weights, an empty prediction, other layouts.

All levels of one form are one launch in each direction. Nothing waits for the device, and shapes
alone decide the launches, so that both can be captured in a CUDA graph. Two runs agree to the bit.
The mathematics is in :mod:`ghm_mmdet.ops.triton_kernels`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import GradientDensity
from ghm_mmdet.ops import reference
from ghm_mmdet.ops import triton_kernels as kernels
from ghm_mmdet.ops.examples import Examples, RegionSums
from ghm_mmdet.ops.from_sums import HarmonizedLoss, Reduction
from ghm_mmdet.ops.gradient import attach_gradient
from ghm_mmdet.ops.target_range import bad_targets
from ghm_mmdet.ops.triton_from_sums import NOTHING, Harmonizing, loss_from_sums
from ghm_mmdet.ops.triton_launch import run
from ghm_mmdet.ops.triton_layout import (
    Launch,
    Level,
    addresses,
    divisible,
    launches,
    level,
    pointers,
)

__all__ = [
    'gradient',
    'harmonized_loss',
    'level_gradients',
    'level_sums',
    'loss_from_sums',
    'region_sums',
]

# Up to this M a thread's registers hold a sum per region.
FEW_REGIONS = 100
# Up to this M the table of an isotonic regression fits beside these sums.
FEW_TO_KEEP = 32
# A thread counts in fields of 8 bits.
EXAMPLES_PER_THREAD = 255
# Examples of one tile that a thread holds, up to this M. With fewer, the registers have room for
# the sums of more threads, but there are more tiles to begin.
PER_THREAD = {48: 16, FEW_REGIONS: 8}
# More programs than fill a large device would only leave more partial sums to add.
PROGRAMS = 1024
# Atomics on one address wait for each other, so they are spread over copies of the sums. A copy
# pays from 2^17 examples on, and its int64 sums have room for 2^23.
COPIES = 32
EXAMPLES_PER_COPY = (2**17, 2**23)

EVALUATE: dict[type, triton.JITFunction] = {
    SigmoidCrossEntropy: kernels.sigmoid_cross_entropy,
    AuthenticSmoothL1: kernels.authentic_smooth_l1,
}

INTERPRETED = isinstance(kernels.gradient_kernel, InterpretedFunction)


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient.

    Raises:
        ValueError: The prediction is on the CPU and Triton's interpreter is off.
    """
    alone = examples._replace(factor=1.0)
    at_once = level_sums(criterion, [alone], edges)
    if at_once is not None:
        return at_once[0]
    read = _read(criterion, [alone])
    if read is None:
        return reference.region_sums(criterion, alone, edges)
    return _many_regions(criterion, alone, read, edges.numel() - 1)


def level_sums(
    criterion: Criterion, levels: Sequence[Examples], edges: Tensor
) -> tuple[RegionSums, Tensor] | None:
    """Region sums of all levels at once, see :func:`ghm_mmdet.ops.level_sums`.

    None if the kernels cannot compute them.

    Raises:
        ValueError: See :func:`region_sums`.
    """
    regions = edges.numel() - 1
    read = _read(criterion, levels)
    if read is None or regions > FEW_REGIONS:
        return None
    found, weight_sum, nonfinite = _few_regions(criterion, levels, read, regions, None)
    sums = RegionSums(found.counts, found.losses, weight_sum[0], nonfinite, found.bad_targets)
    return sums, found.nonfinite


def harmonized_loss(
    criterion: Criterion,
    levels: Sequence[Examples],
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    updates: bool,
) -> HarmonizedLoss | None:
    """See :func:`ghm_mmdet.ops.harmonized_loss`; None if the sums' kernel alone cannot compute it.

    Raises:
        ValueError: See :func:`region_sums`.
    """
    harmonizing = Harmonizing.of(density, balance, reduction, updates)
    if harmonizing is None:
        return None
    most = FEW_TO_KEEP if harmonizing.keeps_outliers else FEW_REGIONS
    read = _read(criterion, levels) if density.bins <= most else None
    if read is None or density.edges.device != levels[0].prediction.device:
        return None
    found, _, _ = _few_regions(criterion, levels, read, density.bins, harmonizing)
    return attach_gradient(found, criterion, levels, density.edges, sys.modules[__name__])


def gradient(criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor) -> Tensor:
    """Each example's own gradient times the scale of its region, in the prediction's dtype.

    Args:
        scale: Derivative of the loss with respect to each region's loss sum, shape (M,).

    Raises:
        ValueError: The prediction is on the CPU and Triton's interpreter is off.
    """
    alone, one = examples._replace(factor=1.0), scale.new_ones(())
    at_once = level_gradients(criterion, [alone], edges, scale, one)
    return reference.gradient(criterion, alone, edges, scale) if at_once is None else at_once[0]


def level_gradients(
    criterion: Criterion,
    levels: Sequence[Examples],
    edges: Tensor,
    scale: Tensor,
    above: Tensor,
) -> list[Tensor] | None:
    """:func:`gradient` of all levels at once, times their factors.

    None if the kernels cannot compute it.

    Args:
        criterion: Of the examples.
        levels: At least one.
        edges: Region edges, shape (M + 1,).
        scale: See :func:`gradient`, shape (M,).
        above: Factor of all gradients, 0-dim.
    """
    read = _read(criterion, levels)
    if read is None:
        return None
    regions, results = edges.numel() - 1, [torch.empty_like(each.prediction) for each in levels]
    places = [addresses(*each) for each in zip(levels, results)]
    scale, above = scale.float().contiguous(), above.float()
    with torch.cuda.device_of(above):
        for launch in launches(read, per_thread=16):
            run(
                kernels.gradient_kernel,
                launch,
                key=('gradient', type(criterion), regions),
                arguments=(
                    *_level_arguments(launch, places, levels, criterion),
                    *(pointers(scale, above), regions),
                ),
                constants=(EVALUATE[type(criterion)], criterion.probabilities),
            )
    return results


def _read(criterion: Criterion, levels: Sequence[Examples]) -> tuple[Level, ...] | None:
    """All levels for the kernels, or None if they cannot take one of them.

    Raises:
        ValueError: See :func:`region_sums`.
    """
    device = levels[0].prediction.device
    if not (device.type == 'cuda' or INTERPRETED):
        raise ValueError(
            f"prediction on {device}: the back end 'triton' needs a CUDA device, or "
            'TRITON_INTERPRET=1 set before the first import'
        )
    # a subclass may compute something else
    if type(criterion) not in EVALUATE:
        return None
    read = []
    for examples in levels:
        # the host would have to wait for a factor on the device
        one = None if isinstance(examples.factor, Tensor) else level(examples)
        if one is None or examples.prediction.device != device:
            return None
        read.append(one)
    return tuple(read)


def _level_arguments(
    launch: Launch,
    places: Sequence[tuple[int, ...]],
    levels: Sequence[Examples],
    criterion: Criterion,
) -> tuple:
    """The first arguments of all kernels: levels, strides, classes and mu."""
    mu = float(getattr(criterion, 'mu', 0))
    # not tensors, see `_read`
    table = launch.table(places, [float(each.factor) for each in levels])
    return table, launch.form.strides, launch.form.classes, mu


def _bad_targets(
    counted: Tensor, criterion: Criterion, levels: Sequence[Examples], read: Sequence[Level]
) -> Tensor:
    """Add bad targets that ``load_examples`` does not count: labels with a weight per example."""
    for examples, each in zip(levels, read):
        if each.form.weight == 'example' and isinstance(examples.target, LabelTarget):
            counted = counted + bad_targets(criterion, examples)
    return counted


def _few_regions(
    criterion: Criterion,
    levels: Sequence[Examples],
    read: tuple[Level, ...],
    regions: int,
    harmonizing: Harmonizing | None,
) -> tuple[HarmonizedLoss, Tensor, Tensor]:
    """Launch ``few_regions_kernel`` for all levels.

    Returns:
        The sums, and their loss if it is asked for, without a graph; the weight sum, shape
        (1,); and the number of all examples that are not finite, int64, 0-dim.
    """
    per_thread = next(each for most, each in PER_THREAD.items() if regions <= most)
    todo = launches(read, per_thread, PROGRAMS, EXAMPLES_PER_THREAD // per_thread)
    columns = sum(launch.programs for launch in todo)
    new = levels[0].prediction.new_empty
    partial = new((2 * regions + 1) * columns, dtype=torch.int32)
    zeros = levels[0].prediction.new_zeros(3 + len(levels) + regions, dtype=torch.int64)
    wrong, nonfinite, counts = zeros.split([3, len(levels), regions])
    floats = new(2 * regions + 1, dtype=torch.float32)
    losses, beta, weight_sum = floats.split([regions, regions, 1])
    # scale and loss are no views: a user may change the others in place before the backward pass
    scale, loss = new(regions, dtype=torch.float32), new((), dtype=torch.float32)
    state, numbers, how = harmonizing or NOTHING
    counts_of_programs = partial.data_ptr()
    sums_of_programs = counts_of_programs + partial.element_size() * regions * columns
    places = (
        *divisible((counts_of_programs, sums_of_programs)),
        *pointers(zeros, counts, losses, weight_sum, beta, scale, loss, *state),
    )
    of_levels = [addresses(each) for each in levels]
    first = 0
    with torch.cuda.device_of(loss):
        for launch in todo:
            grid = first, columns, launch.tiles_each
            run(
                kernels.few_regions_kernel,
                launch,
                key=('sums', type(criterion), regions, how),
                arguments=(
                    *_level_arguments(launch, of_levels, levels, criterion),
                    *(*grid, places, numbers),
                ),
                constants=(
                    *(EVALUATE[type(criterion)], criterion.probabilities),
                    *(launch.weights_shape, regions, how),
                ),
            )
            first += launch.programs
    bad = _bad_targets(wrong[1], criterion, levels, read)
    result = HarmonizedLoss(loss, beta, scale, counts, losses, nonfinite, bad)
    return result, weight_sum, wrong[2]


def _many_regions(
    criterion: Criterion, examples: Examples, read: tuple[Level, ...], regions: int
) -> RegionSums:
    """Sums of one level whose factor is 1."""
    (launch,) = launches(read, per_thread=16)
    prediction, windows = examples.prediction, kernels.WINDOWS.value
    worthwhile, room = EXAMPLES_PER_COPY
    total = prediction.numel()
    copies = max(min(COPIES, triton.cdiv(total, worthwhile)), triton.cdiv(total, room))
    counts = prediction.new_zeros((copies, regions), dtype=torch.int32)
    sums = prediction.new_zeros((copies, windows, regions), dtype=torch.int64)
    valid, bad = prediction.new_empty((2, launch.programs), dtype=torch.int32)
    weights = prediction.new_empty(launch.programs, dtype=torch.float32)
    places = pointers(counts, sums, valid, bad, weights)
    with torch.cuda.device_of(prediction):
        run(
            kernels.many_regions_kernel,
            launch,
            key=('many', type(criterion), regions, copies),
            arguments=(
                *_level_arguments(launch, [addresses(examples)], [examples], criterion),
                *(places, regions, copies),
            ),
            constants=(EVALUATE[type(criterion)], criterion.probabilities),
        )
    counts = counts.sum(0)
    exponents = torch.arange(windows, device=prediction.device) << kernels.WINDOW_BITS.value
    units = torch.exp2((exponents + kernels.LOWEST_UNIT.value).double())
    return RegionSums(
        counts=counts,
        losses=(sums.sum(0, dtype=torch.float64) * units.unsqueeze(1)).sum(0).float(),
        weight_sum=weights.sum(dtype=torch.float64).float(),
        nonfinite=valid.sum() - counts.sum(),
        bad_targets=_bad_targets(bad.sum(), criterion, [examples], read),
    )
