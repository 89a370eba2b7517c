"""Histograms of the gradient norm that a detector's harmonized losses see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ghm_mmdet.density import AverageState, UnitRegionDensity
from ghm_mmdet.losses.ghm_loss import GHMLoss


class CountingDensity(UnitRegionDensity):
    """A density that remembers every count that it is asked about."""

    def __init__(self, num_regions: int) -> None:
        super().__init__(num_regions)
        self.register_buffer('total', torch.zeros(num_regions, dtype=torch.int64))

    def average(self, counts: Tensor) -> AverageState:
        """Add the counts up on the way."""
        self.total += counts
        return super().average(counts)


@contextmanager
def counting_gradient_norms(model: nn.Module, num_regions: int) -> Iterator[dict[str, Tensor]]:
    """Inside, the harmonized losses of ``model`` count into ``num_regions`` regions and keep no
    state.

    Yields:
        Counts by the name of the loss module, int64, shape (num_regions,), growing with each call.
    """
    losses = {name: loss for name, loss in model.named_modules() if isinstance(loss, GHMLoss)}
    own = {name: loss.density for name, loss in losses.items()}
    for loss in losses.values():
        loss.density = CountingDensity(num_regions).to(loss.density.edges.device)
    try:
        yield {name: loss.density.total for name, loss in losses.items()}
    finally:
        for name, loss in losses.items():
            loss.density = own[name]


@torch.no_grad()
def gradient_norm_histogram(
    model: nn.Module, batches: Iterable[dict], num_regions: int = 50
) -> dict[str, Tensor]:
    """Counts of the gradient norm over training batches, by the name of the loss module.

    Args:
        model: An mmdet detector; it is put into eval mode and back.
        batches: What its training dataloader yields.
        num_regions: Regions of [0, 1].
    """
    was_training = model.training
    model.eval()
    try:
        with counting_gradient_norms(model, num_regions) as counts:
            for batch in batches:
                model(**model.data_preprocessor(batch, training=True), mode='loss')
    finally:
        model.train(was_training)
    return counts
