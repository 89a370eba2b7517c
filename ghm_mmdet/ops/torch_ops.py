"""Chunked back end for the CPU: what lies between reading the logits and the sums stays in cache.

Rows are taken in chunks, several at a time on as many threads; partial sums are added in the order
of the rows, so that two runs agree to the bit, whatever the number of threads. A chunk of which
most rows are ignored, as where a head hands over every anchor's box, shrinks to the others.

Sigmoid cross entropy on labels, the case of nearly every head, has operations of its own in
:mod:`ghm_mmdet.ops.sigmoid_labels`. Everything else takes the reference's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from ghm_mmdet.criteria import Criterion, DenseTarget, Target, working_dtype
from ghm_mmdet.ops import reference, sigmoid_labels, workers
from ghm_mmdet.ops.rows import Rows
from ghm_mmdet.ops.sigmoid_labels import GradientWorkspace, SumsWorkspace
from ghm_mmdet.ops.sums import RegionSums

# Examples that all threads together have in work. An example takes 20 bytes of buffers on the way
# to the sums, when there is no gradient yet, and 8 beside the gradient.
IN_FLIGHT = {'sums': 2**20, 'gradient': 2**19}
SPARSE = 0.25  # share of rows below which picking them out is cheaper than passing over the others


def region_sums(
    criterion: Criterion, prediction: Tensor, target: Target, weight: Tensor | None, edges: Tensor
) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    size = _rows_per_chunk(prediction, 'sums')
    space = SumsWorkspace(_examples(prediction, size), edges.numel() - 1, prediction.device)
    chunks = _chunks(size, prediction, target, weight)
    parts = workers.run(partial(_chunk_sums, criterion, edges, space), chunks)
    total = RegionSums(*(torch.stack(fields).sum(0) for fields in zip(*parts, strict=True)))
    dtype = working_dtype(prediction)
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
    # a matrix keeps its layout; of more dimensions, not every layout is one of rows
    layout = torch.preserve_format if prediction.dim() <= 2 else torch.contiguous_format
    result = torch.empty_like(prediction, memory_format=layout)
    size = _rows_per_chunk(prediction, 'gradient')
    space = GradientWorkspace(_examples(prediction, size), prediction.device)
    chunks = zip(
        _chunks(size, prediction, target, weight), _two_dimensional(result).split(size), strict=True
    )
    workers.run(partial(_chunk_gradient, criterion, edges, scale, space), chunks)
    return result


def _two_dimensional(values: Tensor) -> Tensor:
    return values.reshape(-1, values.size(-1)) if values.dim() else values.reshape(1, 1)


def _columns(prediction: Tensor) -> int:
    return prediction.size(-1) if prediction.dim() else 1


def _rows_per_chunk(prediction: Tensor, work: str) -> int:
    return max(1, IN_FLIGHT[work] // workers.count() // max(1, _columns(prediction)))


def _examples(prediction: Tensor, rows: int) -> int:
    """Examples of the largest chunk."""
    return min(prediction.numel(), rows * _columns(prediction))


def _chunks(size: int, prediction: Tensor, target: Target, weight: Tensor | None) -> Iterator[Rows]:
    """The examples in chunks of ``size`` rows; a single empty one where there is none."""
    if weight is not None:
        # an anchor's weight stays one number; only a truly two-dimensional one is spelt out
        per_row = weight.dim() and weight.size(-1) == 1
        shape = (*prediction.shape[:-1], 1) if per_row else prediction.shape
        weight = _two_dimensional(weight.expand(shape))
    if isinstance(target, DenseTarget):
        target = DenseTarget(_two_dimensional(target.values))
    rows = Rows(_two_dimensional(prediction.detach()), target, weight)
    for start in range(0, max(1, len(rows.prediction)), size):
        yield rows.take(slice(start, start + size))


def _chunk_sums(
    criterion: Criterion, edges: Tensor, space: SumsWorkspace, chunk: Rows
) -> RegionSums:
    valid = _few_valid(chunk)
    rows = chunk if valid is None else chunk.take(valid)
    if sigmoid_labels.can_take(criterion, rows):
        return sigmoid_labels.region_sums(rows, edges.numel() - 1, space)
    sums = reference.region_sums(criterion, *rows, edges)
    return sums._replace(losses=sums.losses.double(), weight_sum=sums.weight_sum.double())


def _chunk_gradient(
    criterion: Criterion,
    edges: Tensor,
    scale: Tensor,
    space: GradientWorkspace,
    chunk_and_out: tuple[Rows, Tensor],
) -> None:
    chunk, out = chunk_and_out
    valid = _few_valid(chunk)
    if valid is not None:
        part = torch.empty_like(out[: len(valid)])
        _rows_gradient(criterion, edges, scale, space, chunk.take(valid), part)
        out.zero_().index_copy_(0, valid, part)
    else:
        _rows_gradient(criterion, edges, scale, space, chunk, out)


def _rows_gradient(
    criterion: Criterion,
    edges: Tensor,
    scale: Tensor,
    space: GradientWorkspace,
    rows: Rows,
    out: Tensor,
) -> None:
    if sigmoid_labels.can_take(criterion, rows):
        sigmoid_labels.gradient(rows, scale, space, out)
    else:
        out.copy_(reference.gradient(criterion, *rows, edges, scale))


def _few_valid(rows: Rows) -> Tensor | None:
    """Indices of the rows that count, or None if they are too many to pick them out."""
    if rows.weight is None:
        return None
    valid = (rows.weight > 0).any(dim=1)
    return valid.nonzero().squeeze(1) if valid.sum() < SPARSE * len(valid) else None
