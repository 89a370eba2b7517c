"""Adds up the examples with which a detector's losses are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ghm_mmdet.diagnosis.loss_reader import LossReader, RegionCounts


@dataclass(frozen=True)
class LossRecord:
    """The counts of one loss's examples.

    Attributes:
        name: Of the loss module, such as 'bbox_head.loss_cls'.
        counts: Examples, int64, shape (calls, 2, groups, M). The first index is the number of the
            call in its iteration, which is the pyramid level in heads that call their loss per
            level; the others are as in :class:`RegionCounts`.
        gradients: Sum of the gradient norms, float64, of the same shape.
        mu: Of authentic smooth L1, whose gradient norm is gr; None for classification, which has g.
    """

    name: str
    counts: Tensor
    gradients: Tensor
    mu: float | None = None

    @property
    def symbol(self) -> str:
        """Symbol of the gradient norm, g or gr."""
        return 'g' if self.mu is None else 'gr'

    @property
    def by_sign(self) -> Tensor:
        """Negatives and positives per region, int64, shape (2, M)."""
        return self.counts.sum((0, 2))


class LossRecorder:
    """Counts every example of a model's losses until it is closed, as by the end of a ``with``.

    It only reads the losses' calls and changes nothing. A call without examples still counts as a
    call of its iteration.

    Args:
        readers: Of the losses, by name, as from ``loss_reader.loss_readers``.
    """

    def __init__(self, readers: Mapping[str, LossReader]) -> None:
        self._readers = readers
        self._places: Counter[str] = Counter()
        self._sums: dict[str, list[RegionCounts]] = {name: [] for name in readers}
        self._handles = [
            reader.loss.register_forward_hook(partial(self._record, name), with_kwargs=True)
            for name, reader in readers.items()
        ]

    def __enter__(self) -> LossRecorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()

    def start_iteration(self) -> None:
        """Begin another batch: the next call is the first one of it."""
        self._places.clear()

    def records(self) -> dict[str, LossRecord]:
        """The record of each loss by name; losses without an example are left out."""
        return {
            name: LossRecord(
                name,
                torch.stack([each.counts for each in calls]).cpu(),
                torch.stack([each.gradients for each in calls]).cpu(),
                self._readers[name].mu,
            )
            for name, calls in self._sums.items()
            if any(each.counts.any() for each in calls)
        }

    def _record(
        self, name: str, loss: nn.Module, arguments: tuple, keywords: dict, output: object
    ) -> None:
        seen = self._readers[name].read(arguments, keywords)
        if seen is None:
            return
        calls, place = self._sums[name], self._places[name]
        self._places[name] += 1
        if place < len(calls):
            calls[place] = RegionCounts(*map(torch.add, calls[place], seen))
        else:
            calls.append(seen)
        self._recorded(name, loss, output)

    def _recorded(self, name: str, loss: nn.Module, output: object) -> None:
        """Handle a recorded call; for subclasses."""
