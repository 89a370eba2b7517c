"""Triton back end: the region sums in one read of the logits, their gradient in one more.

It computes :class:`SigmoidCrossEntropy` and :class:`AuthenticSmoothL1` on float16, bfloat16 and
float32 predictions that are a matrix without a copy: (N, C) of any strides, (N,), or (..., C)
whose leading axes merge. All else goes to the reference: a user's criterion, float64 predictions or
weights, an empty prediction, other layouts.

Nothing waits for the device, and shapes alone decide what is launched, so that both functions can
be captured in a CUDA graph. Two runs agree to the bit. The mathematics is in
:mod:`ghm_mmdet.ops.triton_kernels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.ops import reference
from ghm_mmdet.ops import triton_kernels as kernels
from ghm_mmdet.ops.examples import (
    Examples,
    RegionSums,
    are_identical,
    scaled,
    total_of_levels,
)
from ghm_mmdet.ops.target_range import bad_targets
from ghm_mmdet.ops.triton_from_sums import loss_from_sums
from ghm_mmdet.ops.triton_layout import Block, Layout, block, layout, tiles, weights_shape

__all__ = ['gradient', 'level_sums', 'loss_from_sums', 'region_sums']

# Up to this M a thread's registers hold a sum per region.
FEW_REGIONS = 100
# A thread counts in fields of 8 bits.
EXAMPLES_PER_THREAD = 255
# Examples of one tile that a thread holds, up to this M: the fewer, the more threads find room for
# their sums in the registers, and the more often a tile is begun.
PER_THREAD = {48: 16, FEW_REGIONS: 8}
# More programs than fill a large device would only leave more partial sums to add.
PROGRAMS = 1024
# Atomics on one address wait for each other, so they are spread over copies of the sums. Copies pay
# where there is much to add, and the int64 sums of one have room for 2^23 examples.
COPIES = 32
EXAMPLES_PER_COPY = (2**17, 2**23)

INTERPRETED = isinstance(kernels.gradient_kernel, InterpretedFunction)


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient.

    Raises:
        ValueError: The prediction is on the CPU and Triton's interpreter is off.
    """
    return level_sums(criterion, [examples], edges)[0]


def level_sums(
    criterion: Criterion, levels: Sequence[Examples], edges: Tensor
) -> tuple[RegionSums, Tensor]:
    """Region sums of all levels, one launch a level, see :func:`ghm_mmdet.ops.level_sums`.

    Raises:
        ValueError: See :func:`region_sums`.
    """
    calls = [_call(criterion, level) for level in levels]
    regions = edges.numel() - 1
    taken = [call for call in calls if call is not None]
    at_once = regions <= FEW_REGIONS and len(taken) == len(calls)
    if not (at_once and are_identical([level.factor for level in levels])):
        pairs = zip(levels, calls)
        return total_of_levels(levels, [_one_level(criterion, *pair, edges) for pair in pairs])
    with torch.cuda.device_of(levels[0].prediction):
        sums, nonfinite = _few_regions(taken, regions)
        sums = _with_bad_targets(sums, criterion, levels, taken)
    return sums.changed(losses=scaled(sums.losses, levels[0].factor)), nonfinite


def gradient(criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor) -> Tensor:
    """Each example's own gradient times the scale of its region, in the prediction's dtype.

    Args:
        scale: What each region's loss sum receives from above, shape (M,).

    Raises:
        ValueError: The prediction is on the CPU and Triton's interpreter is off.
    """
    call = _call(criterion, examples)
    if call is None:
        return reference.gradient(criterion, examples, edges, scale)
    batch, mathematics = call
    prediction = examples.prediction
    result = torch.empty_like(prediction)
    tile = block(batch, per_thread=16)
    with torch.cuda.device_of(prediction):
        kernels.gradient_kernel[(tiles(batch, tile),)](
            *batch[:4],
            scale=scale.float().contiguous(),
            regions=edges.numel() - 1,
            gradient=(result, *batch.strides(result)),
            BLOCK=tile,
            **batch.options,
            **mathematics,
        )
    return result


def _call(criterion: Criterion, examples: Examples) -> tuple[Layout, dict] | None:
    """Arguments of the kernels for a call, or None if the reference has to compute it."""
    if not (examples.prediction.is_cuda or INTERPRETED):
        raise ValueError(
            f"prediction on {examples.prediction.device}: the back end 'triton' needs a CUDA "
            'device, or TRITON_INTERPRET=1 set before the first import'
        )
    # a subclass may compute something else
    if type(criterion) is SigmoidCrossEntropy:
        mathematics = {'EVALUATE': kernels.sigmoid_cross_entropy, 'mu': 0.0}
    elif type(criterion) is AuthenticSmoothL1:
        mathematics = {'EVALUATE': kernels.authentic_smooth_l1, 'mu': float(criterion.mu)}
    else:
        return None
    mathematics['PROBABILITIES'] = criterion.probabilities
    batch = layout(examples)
    return None if batch is None else (batch, mathematics)


def _one_level(
    criterion: Criterion, level: Examples, call: tuple[Layout, dict] | None, edges: Tensor
) -> RegionSums:
    """Region sums of a level without its factor."""
    if call is None:
        return reference.region_sums(criterion, level, edges)
    regions = edges.numel() - 1
    with torch.cuda.device_of(level.prediction):
        if regions <= FEW_REGIONS:
            sums, _ = _few_regions([call], regions)
        else:
            sums = _many_regions(*call, regions)
        return _with_bad_targets(sums, criterion, [level], [call])


def _with_bad_targets(
    sums: RegionSums,
    criterion: Criterion,
    levels: Sequence[Examples],
    calls: Sequence[tuple[Layout, dict]],
) -> RegionSums:
    """The sums with the bad targets that the kernels do not count, see ``load_examples``."""
    missing = [
        bad_targets(criterion, level)
        for level, (batch, _) in zip(levels, calls)
        if batch.options['WEIGHT'] == 'example' and isinstance(level.target, LabelTarget)
    ]
    return sums.changed(bad_targets=sum(missing, sums.bad_targets))


def _few_regions(calls: Sequence[tuple[Layout, dict]], regions: int) -> tuple[RegionSums, Tensor]:
    """Sums of all levels, and each level's examples that are not finite."""
    per_thread = next(each for most, each in PER_THREAD.items() if regions <= most)
    grids = [_grid(batch, per_thread) for batch, _ in calls]
    columns = sum(grid.programs for grid in grids)
    new = calls[0][0].prediction[0].new_empty
    counts = new((regions, columns), dtype=torch.int32)
    sums = new((regions + 1, columns), dtype=torch.float32)
    wrong = calls[0][0].prediction[0].new_zeros(1 + len(calls), dtype=torch.int64)
    first = 0
    for index, ((batch, mathematics), grid) in enumerate(zip(calls, grids)):
        kernels.few_regions_kernel[(grid.programs,)](
            *batch[:4],
            counts=counts,
            sums=sums,
            wrong=wrong,
            level=index,
            first=first,
            columns=columns,
            tiles=grid.tiles_each,
            REGIONS=regions,
            BLOCK=grid.tile,
            WEIGHTS=weights_shape(batch, grid.tile),
            **batch.options,
            **mathematics,
        )
        first += grid.programs
    result = RegionSums(
        counts=new(regions, dtype=torch.int64),
        losses=new(regions, dtype=torch.float32),
        weight_sum=new((), dtype=torch.float32),
        nonfinite=new((), dtype=torch.int64),
        bad_targets=wrong[0],
    )
    kernels.add_programs_kernel[(regions + 1,)](
        counts, sums, wrong, len(calls), columns, *result[:4], REGIONS=regions, BLOCK=512
    )
    return result, wrong[1:]


class Grid(NamedTuple):
    """The number of programs, and of tiles that each of them reads."""

    tile: Block
    programs: int
    tiles_each: int


def _grid(batch: Layout, per_thread: int) -> Grid:
    tile = block(batch, per_thread)
    needed = tiles(batch, tile)
    tiles_each = min(triton.cdiv(needed, PROGRAMS), EXAMPLES_PER_THREAD // per_thread)
    return Grid(tile, triton.cdiv(needed, tiles_each), tiles_each)


def _many_regions(batch: Layout, mathematics: dict, regions: int) -> RegionSums:
    tile = block(batch, per_thread=16)
    programs = tiles(batch, tile)
    total = batch.size[0] * batch.size[1]
    worthwhile, room = EXAMPLES_PER_COPY
    copies = max(min(COPIES, triton.cdiv(total, worthwhile)), triton.cdiv(total, room))
    prediction, windows = batch.prediction[0], kernels.WINDOWS.value
    counts = prediction.new_zeros((copies, regions), dtype=torch.int32)
    sums = prediction.new_zeros((copies, windows, regions), dtype=torch.int64)
    valid = prediction.new_empty(programs, dtype=torch.int32)
    weights = prediction.new_empty(programs, dtype=torch.float32)
    bad_targets = prediction.new_empty(programs, dtype=torch.int32)
    kernels.many_regions_kernel[(programs,)](
        *batch[:4],
        counts=counts,
        sums=sums,
        examples=valid,
        weights=weights,
        bad_targets=bad_targets,
        regions=regions,
        copies=copies,
        BLOCK=tile,
        **batch.options,
        **mathematics,
    )
    counts = counts.sum(0)
    exponents = torch.arange(windows, device=prediction.device) << kernels.WINDOW_BITS.value
    units = torch.exp2((exponents + kernels.LOWEST_UNIT.value).double())
    return RegionSums(
        counts=counts,
        losses=(sums.sum(0, dtype=torch.float64) * units.unsqueeze(1)).sum(0).float(),
        weight_sum=weights.sum(dtype=torch.float64).float(),
        nonfinite=valid.sum() - counts.sum(),
        bad_targets=bad_targets.sum(),
    )
