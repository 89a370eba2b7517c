"""Counts, weights and shares of the gradient of a model's harmonized losses in one iteration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ghm_mmdet.diagnosis.loss_reader import harmonized_readers
from ghm_mmdet.diagnosis.recorder import LossRecord, LossRecorder
from ghm_mmdet.diagnosis.style import draw_shares, finish, panels, stairs
from ghm_mmdet.losses.ghm_loss import GHMLoss, Statistics


@dataclass(frozen=True)
class Harmonizing:
    """One loss in one iteration; arrays have shape (M,), one value per region.

    Attributes:
        name: Of the loss module, such as 'bbox_head.loss_cls'.
        symbol: Of its gradient norm, 'g' or 'gr'.
        negatives: Number of background examples.
        positives: Number of examples of objects; all box coordinates are positives.
        beta: Harmonizing weight; the mean over the examples if levels have densities of their
            own; 0 without an example.
        moving_average: Of the counts, after the iteration; None if the loss keeps none.
        share_before: Share of the gradient before harmonizing, with weight 1 for each example.
        share_after: Share of the gradient after harmonizing.
        positive_share_before: The positives' share of the gradient before harmonizing.
        positive_share_after: The positives' share of the gradient after harmonizing.
    """

    name: str
    symbol: str
    negatives: np.ndarray
    positives: np.ndarray
    beta: np.ndarray
    moving_average: np.ndarray | None
    share_before: np.ndarray
    share_after: np.ndarray
    positive_share_before: float
    positive_share_after: float

    @property
    def effective_regions(self) -> float:
        """exp(entropy) of the harmonized shares: M if all regions have the same share."""
        share = self.share_after[self.share_after > 0]
        return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0

    def scalars(self) -> dict[str, float]:
        """The numbers by name; two digits after a name are the region."""
        counts = self.negatives + self.positives
        names = ('effective_regions', 'positive_share_before', 'positive_share_after')
        numbers = {name: getattr(self, name) for name in names}
        numbers['outliers'] = float(counts[-1] / counts.sum())
        regions = {'counts': counts}
        for name in ('positives', 'beta', 'share_before', 'share_after', 'moving_average'):
            regions[name] = getattr(self, name)
        for name, values in regions.items():
            for region, value in enumerate(() if values is None else values):
                numbers[f'{name}/{region:02d}'] = float(value)
        return numbers

    def figure(self, iteration: int) -> Figure:
        """Two panels over the regions: counts, who moves the model."""
        is_box = self.symbol == 'gr'
        name, plain = ('GHM-R', 'authentic smooth L1') if is_box else ('GHM-C', 'cross entropy')
        figure, (left, right) = panels(2)
        figure.suptitle(f'{self.name}, iteration {iteration}')
        if not is_box:
            stairs(left, self.negatives, 'negatives', 'negatives')
        stairs(left, self.positives, 'positives', 'positives')
        if self.moving_average is not None:
            stairs(left, self.moving_average, 'moving average', 'moving average', linestyle='--')
        left.set(title='How many examples', ylabel='examples per region', yscale='log')
        left.set_ylim(bottom=0.5)
        finish(left, self.symbol)
        draw_shares(right, {plain: self.share_before, name: self.share_after}, self.symbol)
        return figure


class DensityProbe(LossRecorder):
    """Watches the harmonized losses of a model, as a context manager around one iteration.

    It makes one more pass over the examples of each loss.

    Args:
        model: An mmdet detector with GHM-C or GHM-R.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(harmonized_readers(model))
        self._statistics: dict[str, list[Statistics | None]] = defaultdict(list)

    def result(self) -> list[Harmonizing]:
        """The numbers of every loss that was called with an example."""
        return [
            _harmonizing(record, self._readers[name].loss, self._statistics[name])
            for name, record in self.records().items()
        ]

    def _recorded(self, name: str, loss: GHMLoss, output: object) -> None:
        # a level of a pyramid has no statistics yet: the loss of all levels is computed later
        self._statistics[name].append(loss.statistics if isinstance(output, Tensor) else None)


def _harmonizing(
    record: LossRecord, loss: GHMLoss, statistics: Sequence[Statistics | None]
) -> Harmonizing:
    counts = record.counts.sum(2).double()
    gradients = torch.stack([each.sum(1) for each in record.gradients])
    statistics = [loss.statistics if each is None else each for each in statistics]
    beta = torch.stack([each.beta for each in statistics]).double().cpu()
    # a loss divides by the examples of its own call, or of all calls together
    total = torch.stack([each.counts.sum() for each in statistics]).clamp(min=1).cpu()
    harmonized = gradients * (beta / total.unsqueeze(1)).unsqueeze(1)
    by_call = counts.sum(1)
    mean_beta = (by_call * beta).sum(0) / by_call.sum(0).clamp(min=1)
    average = loss.density.moving_average.cpu().numpy() if loss.density.has_state else None
    before, positive_before = _shares(gradients.sum(0))
    after, positive_after = _shares(harmonized.sum(0))
    return Harmonizing(
        record.name,
        record.symbol,
        *record.by_sign.numpy(),
        mean_beta.numpy(),
        average,
        before,
        after,
        positive_before,
        positive_after,
    )


def _shares(gradients: Tensor) -> tuple[np.ndarray, float]:
    """Share of each region, and of the positives, from sums of shape (2, M)."""
    total = gradients.sum().clamp(min=1e-300)
    return (gradients.sum(0) / total).numpy(), float(gradients[1].sum() / total)
