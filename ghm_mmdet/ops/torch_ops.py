"""Chunked back end: the reference's operations on some rows at a time, for any criterion.

Intermediate results take the memory of one chunk and stay in
cache. Partial sums are added in the order of the rows, so that two runs agree to the bit. If most
rows of a chunk are ignored, as when a head hands over every anchor's box, only the other rows are
computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, DenseTarget, working_dtype
from ghm_mmdet.ops import reference
from ghm_mmdet.ops.examples import Examples, RegionSums

CHUNK = 131072  # examples, 512 KiB of float32
SPARSE = 0.25  # share of rows below which picking them out is cheaper than passing over the others


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    parts = [_chunk_sums(criterion, rows, edges) for rows in _chunks(examples)]
    total = RegionSums.total(parts)
    dtype = working_dtype(examples.prediction)
    return total.changed(losses=total.losses.to(dtype), weight_sum=total.weight_sum.to(dtype))


def gradient(criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor) -> Tensor:
    """Each example's gradient times the scale of its region, see the reference."""
    # a matrix keeps its layout; with more dimensions, not every layout can be cut into rows
    prediction = examples.prediction
    layout = torch.preserve_format if prediction.dim() <= 2 else torch.contiguous_format
    result = torch.empty_like(prediction, memory_format=layout)
    outs = _two_dimensional(result).split(_rows_per_chunk(result))
    for rows, out in zip(_chunks(examples), outs):
        _chunk_gradient(criterion, rows, edges, scale, out)
    return result


def _two_dimensional(values: Tensor) -> Tensor:
    # without columns, -1 could be any number of rows
    *rows, columns = values.shape or (1,)
    return values.reshape(math.prod(rows), columns)


def _rows_per_chunk(prediction: Tensor) -> int:
    columns = prediction.size(-1) if prediction.dim() else 1
    return max(1, CHUNK // max(1, columns))


def _chunks(examples: Examples) -> Iterator[Examples]:
    """The examples as matrices of some rows each; one empty matrix if there are none."""
    prediction, target, weight, _ = examples
    if weight is not None:
        # a weight per anchor stays one number; every other weight is expanded to one per example
        per_row = weight.dim() and weight.size(-1) == 1
        shape = (*prediction.shape[:-1], 1) if per_row else prediction.shape
        weight = _two_dimensional(weight.expand(shape))
    if isinstance(target, DenseTarget):
        target = DenseTarget(_two_dimensional(target.values))
    rows = Examples(_two_dimensional(prediction), target, weight)
    size = _rows_per_chunk(prediction)
    for start in range(0, max(1, len(rows.prediction)), size):
        yield rows.rows(slice(start, start + size))


def _chunk_sums(criterion: Criterion, rows: Examples, edges: Tensor) -> RegionSums:
    valid = _few_valid(rows)
    if valid is not None:
        rows = rows.rows(valid)
    sums = reference.region_sums(criterion, rows, edges)
    return sums.changed(losses=sums.losses.double(), weight_sum=sums.weight_sum.double())


def _chunk_gradient(
    criterion: Criterion, rows: Examples, edges: Tensor, scale: Tensor, out: Tensor
) -> None:
    valid = _few_valid(rows)
    if valid is None:
        out.copy_(reference.gradient(criterion, rows, edges, scale))
    else:
        part = reference.gradient(criterion, rows.rows(valid), edges, scale)
        out.zero_().index_copy_(0, valid, part)


def _few_valid(rows: Examples) -> Tensor | None:
    """Indices of the rows that count, or None if they are too many to pick them out."""
    if rows.weight is None:
        return None
    valid = (rows.weight > 0).any(dim=1)
    return valid.nonzero().squeeze(1) if valid.sum() < SPARSE * len(valid) else None
