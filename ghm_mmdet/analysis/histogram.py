"""Histograms of the gradient norm that a detector's harmonized losses see."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ghm_mmdet.density import AverageState, UnitRegionDensity
from ghm_mmdet.losses.ghm_loss import GHMLoss


class CountingDensity(UnitRegionDensity):
    """A density that adds up every count that it is asked about."""

    def __init__(self, num_regions: int) -> None:
        super().__init__(num_regions)
        self.register_buffer('total', torch.zeros(num_regions, dtype=torch.int64))

    def average(self, counts: Tensor) -> AverageState:
        """Note the counts on the way."""
        self.total += counts
        return super().average(counts)


@torch.no_grad()
def gradient_norm_histogram(
    model: nn.Module, batches: Iterable[dict], num_regions: int = 50
) -> dict[str, Tensor]:
    """Counts of the gradient norm over training batches, as training sees them.

    A copy of the model does the work, so that neither batch norm's statistics nor the losses'
    moving averages change.

    Args:
        model: An mmdet detector with GHM-C or GHM-R losses.
        batches: What its training dataloader yields.
        num_regions: Regions of [0, 1].

    Returns:
        Counts by the name of the loss module, int64, shape (num_regions,).
    """
    model = copy.deepcopy(model).train()
    losses = {name: loss for name, loss in model.named_modules() if isinstance(loss, GHMLoss)}
    for loss in losses.values():
        loss.density = CountingDensity(num_regions).to(loss.density.edges.device)
    for batch in batches:
        model(**model.data_preprocessor(batch, training=True), mode='loss')
    return {name: loss.density.total.cpu() for name, loss in losses.items()}
