"""Counts the examples of a call by sign, group and region of their gradient norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ghm_mmdet.diagnosis.loss_calls import (
    Call,
    NormedExamples,
    box_examples,
    classification_examples,
    mu_of,
)
from ghm_mmdet.method.density import region_index

CHUNK = 2**18  # examples: the temporaries of a pass stay near a CPU's cache


class RegionCounts(NamedTuple):
    """Counts (int64) and sums of the gradient norm (float64), shape (2, groups, M) each."""

    counts: Tensor
    gradients: Tensor


class LossReader:
    """Counts the examples of a loss's calls.

    Args:
        loss: The loss.
        edges: Of the regions, shape (M + 1,).
        classification: Whether its examples are objects and background, and not box deltas.
        mu: Of authentic smooth L1, for a box loss that has none.
    """

    def __init__(
        self, loss: nn.Module, edges: Tensor, classification: bool, mu: float = 0.02
    ) -> None:
        self.loss = loss
        self.edges = edges
        self.mu = None if classification else mu_of(loss, mu)

    @torch.no_grad()
    def read(self, call: Call) -> RegionCounts:
        """Count one call, chunk by chunk."""
        parts = [self._count(self._examples(part)) for part in _chunks(call)]
        return RegionCounts(*(sum(each[1:], each[0]) for each in zip(*parts, strict=True)))

    def _examples(self, call: Call) -> NormedExamples:
        if self.mu is None:
            return classification_examples(self.loss, call)
        return box_examples(call, self.mu)

    def _count(self, examples: NormedExamples) -> RegionCounts:
        norm = examples.gradient_norm.where(examples.valid, 0)
        edges = self.edges.to(norm.device)
        regions = len(edges) - 1
        index = examples.positive.long() * examples.groups + examples.group
        index = index * regions + region_index(norm, edges)
        counts = norm.new_zeros(2 * examples.groups * regions, dtype=torch.int64)
        gradients = counts.double()
        counts.index_add_(0, index, examples.valid.long())
        gradients.index_add_(0, index, norm.double())
        shape = (2, examples.groups, regions)
        return RegionCounts(counts.view(shape), gradients.view(shape))


def _chunks(call: Call) -> Iterator[Call]:
    """The call in parts of whole rows; a call without rows stays whole."""
    if call.prediction.dim() != 2:
        yield call
        return
    rows = len(call.prediction)
    step = max(1, CHUNK // max(1, call.prediction.size(1)))
    for start in range(0, max(rows, 1), step):
        part = slice(start, start + step)

        def cut(values: Tensor | None, part: slice = part) -> Tensor | None:
            # a weight may be one for all rows
            return values if values is None or len(values) != rows else values[part]

        pair = isinstance(call.target, tuple | list)
        target = tuple(map(cut, call.target)) if pair else cut(call.target)
        yield Call(call.prediction[part], target, cut(call.weight))
