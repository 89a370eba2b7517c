"""Sigmoid cross entropy on labels in as few passes over a chunk as PyTorch's operations allow.

With z = x for background and z = -x at a label, g = sigmoid(z), the loss is -log(1 - g) and the
gradient +-g. Nearly every example is background: all are computed so, and the few at a label, the
*objects*, are put in afterwards.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ghm_mmdet.criteria import Criterion, LabelTarget, SigmoidCrossEntropy
from ghm_mmdet.ops.rows import Rows
from ghm_mmdet.ops.sums import RegionSums

# beyond sigmoid(4), float32 rounds 1 - g too coarsely for its logarithm
LARGEST_PLAIN_NORM = 0.98
# Neighbours are added to sums of their own, so that one addition need not wait for the last.
LANES = 8


class SumsWorkspace(threading.local):
    """Buffers that each thread fills again for every chunk: fresh memory is slow at first touch.

    Args:
        size: Examples of the largest chunk.
        regions: M.
        device: Of the predictions.
    """

    def __init__(self, size: int, regions: int, device: torch.device) -> None:
        self.norm = torch.empty(size, device=device)
        self.region = torch.empty(size, dtype=torch.int32, device=device)
        lane = torch.arange(size, dtype=torch.int32, device=device) % LANES
        self.lane = lane * (regions + 2)
        self.losses = torch.empty(size, dtype=torch.float64, device=device)
        self.scratch = self.losses.view(torch.float32)  # not needed at the same time


class GradientWorkspace(threading.local):
    """The same for the gradient, which is computed where it is returned."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.region = torch.empty(size, dtype=torch.int32, device=device)
        self.scratch = torch.empty(size, device=device)


class Objects(NamedTuple):
    """The examples at a label: position in the flat chunk, and z, both shape (k,)."""

    index: Tensor
    z: Tensor


def can_take(criterion: Criterion, rows: Rows) -> bool:
    """Whether these rows are this module's case, with nothing but plain numbers in them."""
    return (
        type(criterion) is SigmoidCrossEntropy
        and isinstance(rows.target, LabelTarget)
        and rows.target.score is None
        and rows.prediction.dtype != torch.float64
        and rows.prediction.numel() > 0
        # one sum finds any NaN or infinity; where it overflows, the reference takes over in vain
        and bool(rows.prediction.sum(dtype=torch.float32).isfinite())
    )


def region_sums(rows: Rows, regions: int, space: SumsWorkspace) -> RegionSums:
    """Counts and loss sums per region, the latter in float64."""
    logits, objects = _flat_logits(rows), _objects(rows)
    norm = torch.sigmoid(logits, out=space.norm[: len(logits)])
    large = _large(norm.index_fill_(0, objects.index, 0))
    norm.index_copy_(0, objects.index, objects.z.sigmoid())

    region = _region(norm, regions, space)
    _fill_ignored(region.view_as(rows.prediction), rows.weight, regions + 1)
    region += space.lane[: len(logits)]

    losses = torch.log1p(norm.neg_(), out=norm).neg_()
    if large is not None:
        losses[large] = softplus(logits[large])
    losses.index_copy_(0, objects.index, softplus(objects.z))
    losses = space.losses[: len(logits)].copy_(losses)
    counts = _count(region, None, regions)
    return RegionSums(
        counts=counts,
        losses=_count(region, losses, regions),
        weight_sum=_weight_sum(rows),
        nonfinite=counts.new_zeros(()),
    )


def gradient(rows: Rows, scale: Tensor, space: GradientWorkspace, out: Tensor) -> None:
    """Each example's gradient times the scale (M,) of its region, into ``out`` of shape (n, C)."""
    logits, objects = _flat_logits(rows), _objects(rows)
    direct = out.dtype == torch.float32 and out.is_contiguous()
    norm = torch.sigmoid(logits, out=out.view(-1) if direct else torch.empty_like(logits))
    norm.index_copy_(0, objects.index, objects.z.sigmoid())
    region = _region(norm, len(scale), space)
    table = torch.cat([scale, scale[-1:]]).float()
    norm *= torch.index_select(table, 0, region, out=space.scratch[: len(logits)])
    norm.index_copy_(0, objects.index, -norm.index_select(0, objects.index))
    if not direct:
        out.copy_(norm.view_as(out))
    _fill_ignored(out, rows.weight, 0)


def _flat_logits(rows: Rows) -> Tensor:
    return rows.prediction.reshape(-1).float()


def _objects(rows: Rows) -> Objects:
    labels, classes = rows.target.labels, rows.prediction.size(1)
    row = ((labels >= 0) & (labels < classes)).nonzero().squeeze(1)
    column = labels[row]
    return Objects(row * classes + column, -rows.prediction[row, column].float())


def _large(norm: Tensor) -> Tensor | None:
    """Where g is too close to 1 for log(1 - g); None where it nowhere is, which takes less time."""
    if norm.max() <= LARGEST_PLAIN_NORM:
        return None
    return (norm > LARGEST_PLAIN_NORM).nonzero().squeeze(1)


def _region(norm: Tensor, regions: int, space: SumsWorkspace | GradientWorkspace) -> Tensor:
    """floor(g M), int32: M where g rounds to 1, whose region is M - 1."""
    scaled = torch.mul(norm, regions, out=space.scratch[: len(norm)])
    return space.region[: len(norm)].copy_(scaled)


def _count(region: Tensor, weights: Tensor | None, regions: int) -> Tensor:
    """Examples, or sum of their weights, by region, shape (M,)."""
    slots = regions + 2
    total = torch.bincount(region, weights, minlength=LANES * slots).view(LANES, slots).sum(0)
    total[regions - 1] += total[regions]
    return total[:regions]


def _fill_ignored(values: Tensor, weight: Tensor | None, filling: float) -> None:
    """Put the filling into values (n, C) where the weight, (n, C) or (n, 1), ignores."""
    if weight is None:
        return
    ignored = ~(weight > 0)
    if weight.size(1) < values.size(1):
        values.index_fill_(0, ignored.squeeze(1).nonzero().squeeze(1), filling)
    elif ignored.any():
        values.masked_fill_(ignored, filling)


def _weight_sum(rows: Rows) -> Tensor:
    if rows.weight is None:
        return rows.prediction.new_tensor(rows.prediction.numel(), dtype=torch.float64)
    total = rows.weight.clamp(min=0).sum(dtype=torch.float64)
    return total * (rows.prediction.numel() // rows.weight.numel())
