"""Counts the gradient norms of what a detector's losses are called with, whatever losses it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ghm_mmdet.diagnosis.loss_calls import is_box_regression, is_classification, parse_call
from ghm_mmdet.diagnosis.region_counts import LossReader, RegionCounts
from ghm_mmdet.method.density import region_edges


@dataclass(frozen=True)
class LossRecord:
    """The counts of one loss's examples.

    Attributes:
        name: Of the loss module, such as 'bbox_head.loss_cls'.
        kind: 'classification', whose norm is g, or 'box', whose norm is gr.
        counts: Examples, int64, shape (calls, 2, groups, M): by the place of the call among those
            of its iteration, which is the pyramid level in heads that call their loss for each;
            negatives before positives; class or coordinate; region of the gradient norm.
        gradients: Sum of the gradient norms, float64, of the same shape.
        mu: Of authentic smooth L1, whose gradient norm gr is; None for g.
    """

    name: str
    kind: str
    counts: Tensor
    gradients: Tensor
    mu: float | None = None

    @property
    def symbol(self) -> str:
        """Symbol of the gradient norm, g or gr."""
        return 'g' if self.kind == 'classification' else 'gr'

    @property
    def by_region(self) -> Tensor:
        """Examples per region, int64, shape (M,)."""
        return self.counts.sum((0, 1, 2))

    @property
    def by_sign(self) -> Tensor:
        """Negatives and positives per region, int64, shape (2, M)."""
        return self.counts.sum((0, 2))


class LossRecorder:
    """Counts every example of a model's classification and box losses, as a context manager.

    Losses that compare decoded boxes have no gradient norm to look at and are left out. A call with
    nothing in it is still one of its iteration.

    Args:
        model: An mmdet detector; inside the context its losses are looked at, nothing is changed.
        bins: M, regions of [0, 1].
        mu: Of authentic smooth L1, for box losses that have none.
    """

    def __init__(self, model: nn.Module, bins: int, mu: float = 0.02) -> None:
        edges = region_edges(bins)
        self._readers: dict[str, LossReader] = {}
        for name, module in model.named_modules():
            head = model.get_submodule(name.rpartition('.')[0])
            if is_classification(name) or is_box_regression(name, module, head):
                self._readers[name] = LossReader(module, edges, is_classification(name), mu)
        self._calls: dict[str, int] = defaultdict(int)
        self._sums: dict[str, list[RegionCounts]] = defaultdict(list)
        self._handles: list = []

    def __enter__(self) -> LossRecorder:
        for name, reader in self._readers.items():
            hook = partial(self._record, name)
            self._handles.append(reader.loss.register_forward_pre_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def start_iteration(self) -> None:
        """Say that the calls that follow are those of another batch."""
        self._calls.clear()

    def records(self) -> dict[str, LossRecord]:
        """The record of each loss by name; losses without an example are left out."""
        return {
            name: LossRecord(
                name,
                'classification' if is_classification(name) else 'box',
                torch.stack([counts for counts, _ in calls]).cpu(),
                torch.stack([gradients for _, gradients in calls]).cpu(),
                self._readers[name].mu,
            )
            for name, calls in self._sums.items()
            if any(each.counts.any() for each in calls)
        }

    def _record(self, name: str, _: nn.Module, arguments: tuple, keywords: dict) -> None:
        call = parse_call(arguments, keywords)
        if call is None:
            return
        place = self._calls[name]
        self._calls[name] += 1
        seen = self._readers[name].read(call)
        known = self._sums[name]
        if place < len(known):
            counts, gradients = known[place]
            known[place] = RegionCounts(counts + seen.counts, gradients + seen.gradients)
        else:
            known.append(seen)


@torch.no_grad()
def record_losses(
    model: nn.Module, batches: Iterable[dict], bins: int, mu: float = 0.02
) -> dict[str, LossRecord]:
    """Count the examples of a detector's losses over some batches, in its present mode.

    Args:
        model: An mmdet detector. In training mode its batch norms' statistics change.
        batches: What a dataloader yields.
        bins: M, regions of [0, 1].
        mu: Of authentic smooth L1, for box losses that have none.

    Returns:
        A record by the name of the loss module.
    """
    with LossRecorder(model, bins, mu) as recorder:
        for batch in batches:
            recorder.start_iteration()
            model(**model.data_preprocessor(batch, training=model.training), mode='loss')
    return recorder.records()
