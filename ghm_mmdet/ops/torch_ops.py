"""Chunked back end for the CPU: what lies between reading the logits and the sums stays in cache.

Rows are taken in chunks of ``CHUNK`` examples, one after the other, and partial sums are added in
the order of the rows, so that two runs agree to the bit.

Sigmoid cross entropy on labels, the case of nearly every head, has its own few operations. With z =
x for background and z = -x at the label, g = sigmoid(z), the loss is -log(1 - g) and the gradient
+-g. Everything else, and a chunk with anything but plain numbers in it, takes the reference's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.criteria import (
    Criterion,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
    Target,
    working_dtype,
)
from ghm_mmdet.ops import reference
from ghm_mmdet.ops.sums import RegionSums

CHUNK = 131072  # examples, 512 KiB of float32
LARGEST_PLAIN_NORM = 0.9975  # sigmoid(6); beyond it float32 rounds 1 - g too coarsely for its log


class Rows(NamedTuple):
    """A chunk of the examples, two-dimensional."""

    prediction: Tensor
    target: Target
    weight: Tensor | None


def region_sums(
    criterion: Criterion, prediction: Tensor, target: Target, weight: Tensor | None, edges: Tensor
) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    dtype = working_dtype(prediction)
    total = RegionSums(
        counts=torch.zeros(edges.numel() - 1, dtype=torch.int64),
        losses=torch.zeros(edges.numel() - 1, dtype=torch.float64),
        weight_sum=torch.zeros((), dtype=torch.float64),
        nonfinite=torch.zeros((), dtype=torch.int64),
    )
    for rows in _chunks(prediction, target, weight):
        total = total.merge(_chunk_sums(criterion, edges, rows))
    return total._replace(losses=total.losses.to(dtype), weight_sum=total.weight_sum.to(dtype))


def gradient(
    criterion: Criterion,
    prediction: Tensor,
    target: Target,
    weight: Tensor | None,
    edges: Tensor,
    scale: Tensor,
) -> Tensor:
    """Each example's gradient times the scale of its region, see the reference."""
    result = torch.empty_like(prediction, memory_format=torch.contiguous_format)
    size = _rows_per_chunk(result)
    outs = _two_dimensional(result).split(size)  # of no rows, split still makes one
    for rows, out in zip(_chunks(prediction, target, weight), outs, strict=len(result) > 0):
        _chunk_gradient(criterion, edges, scale, rows, out)
    return result


def _two_dimensional(values: Tensor) -> Tensor:
    return values.reshape(-1, values.size(-1)) if values.dim() else values.reshape(1, 1)


def _rows_per_chunk(prediction: Tensor) -> int:
    columns = prediction.size(-1) if prediction.dim() else 1
    return max(1, CHUNK // max(1, columns))


def _chunks(prediction: Tensor, target: Target, weight: Tensor | None) -> Iterator[Rows]:
    size = _rows_per_chunk(prediction)
    if weight is not None:
        # an anchor's weight stays one number; only a truly two-dimensional one is spelt out
        per_row = weight.dim() and weight.size(-1) == 1
        shape = (*prediction.shape[:-1], 1) if per_row else prediction.shape
        weight = _two_dimensional(weight.expand(shape))
    if isinstance(target, DenseTarget):
        target = DenseTarget(_two_dimensional(target.values))
    rows = _two_dimensional(prediction)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield Rows(
            rows[part],
            type(target)(*(None if field is None else field[part] for field in target)),
            None if weight is None else weight[part],
        )


def _chunk_sums(criterion: Criterion, edges: Tensor, rows: Rows) -> RegionSums:
    if _has_fast_path(criterion, rows):
        return _sigmoid_sums(rows, edges.numel() - 1)
    sums = reference.region_sums(criterion, *rows, edges)
    return sums._replace(losses=sums.losses.double(), weight_sum=sums.weight_sum.double())


def _chunk_gradient(
    criterion: Criterion, edges: Tensor, scale: Tensor, rows: Rows, out: Tensor
) -> None:
    if _has_fast_path(criterion, rows):
        _sigmoid_gradient(rows, scale, out)
    else:
        out.copy_(reference.gradient(criterion, *rows, edges, scale))


def _has_fast_path(criterion: Criterion, rows: Rows) -> bool:
    return (
        type(criterion) is SigmoidCrossEntropy
        and isinstance(rows.target, LabelTarget)
        and rows.target.score is None
        and rows.prediction.dtype != torch.float64
        and rows.prediction.numel() > 0
        # one sum finds any NaN or infinity; where it overflows, the reference takes over in vain
        and bool(rows.prediction.sum(dtype=torch.float32).isfinite())
    )


class Examples(NamedTuple):
    """Sigmoid cross entropy's examples of a chunk; the regions M and M + 1 are special.

    Attributes:
        norm: g, float32, shape (n, C).
        region: floor(g M), int32, shape (n, C); M, where g rounds to 1, belongs to M - 1, and M + 1
            is where nothing counts.
        is_object: Whether the anchor has a label, shape (n, 1).
        column: The label, 0 for background, int64, shape (n, 1).
    """

    norm: Tensor
    region: Tensor
    is_object: Tensor
    column: Tensor


def _sigmoid_examples(rows: Rows, num_regions: int) -> Examples:
    logits, labels = rows.prediction.float(), rows.target.labels
    is_object = ((labels >= 0) & (labels < logits.size(1))).unsqueeze(1)
    column = labels.unsqueeze(1).where(is_object, 0)
    at_label = logits.gather(1, column)
    norm = logits.sigmoid()
    norm.scatter_(1, column, at_label.where(~is_object, -at_label).sigmoid_())
    region = (norm * num_regions).int()
    if rows.weight is not None:
        region.masked_fill_(rows.weight <= 0, num_regions + 1)
    return Examples(norm, region, is_object, column)


def _sigmoid_sums(rows: Rows, num_regions: int) -> RegionSums:
    norm, region, is_object, column = _sigmoid_examples(rows, num_regions)
    if norm.max() <= LARGEST_PLAIN_NORM:
        losses = torch.log1p(norm.neg_()).neg_()
    else:
        logits = rows.prediction.float()
        at_label = logits.gather(1, column)
        signed = logits.scatter(1, column, at_label.where(~is_object, -at_label))
        losses = torch.nn.functional.softplus(signed, threshold=40)
    index, slots = region.flatten(), num_regions + 2
    counts = torch.bincount(index, minlength=slots)
    sums = torch.bincount(index, losses.flatten().double(), minlength=slots)
    for slot in (counts, sums):
        slot[num_regions - 1] += slot[num_regions]
    counts, sums = counts[:num_regions], sums[:num_regions]
    return RegionSums(counts, sums, _weight_sum(rows), torch.zeros((), dtype=torch.int64))


def _weight_sum(rows: Rows) -> Tensor:
    if rows.weight is None:
        return torch.tensor(rows.prediction.numel(), dtype=torch.float64)
    total = rows.weight.clamp(min=0).sum(dtype=torch.float64)
    return total * (rows.prediction.numel() // rows.weight.numel())


def _sigmoid_gradient(rows: Rows, scale: Tensor, out: Tensor) -> None:
    norm, region, is_object, column = _sigmoid_examples(rows, scale.numel())
    table = torch.cat([scale.float(), scale[-1:].float(), scale.new_zeros(1).float()])
    norm *= table.index_select(0, region.flatten()).view_as(norm)
    at_label = norm.gather(1, column)
    out.copy_(norm.scatter_(1, column, at_label.where(~is_object, -at_label)))
