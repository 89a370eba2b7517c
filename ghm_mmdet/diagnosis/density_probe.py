"""Counts, weights and shares of the gradient of a model's harmonized losses in one iteration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ghm_mmdet.diagnosis.loss_calls import parse_call
from ghm_mmdet.diagnosis.region_counts import LossReader
from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss, Statistics


@dataclass(frozen=True)
class Harmonizing:
    """One loss in one iteration; arrays are of shape (M,), one value for each of its regions.

    Attributes:
        name: Of the loss module, such as 'bbox_head.loss_cls'.
        symbol: Of its gradient norm, 'g' or 'gr'.
        negatives: Examples that are background.
        positives: Examples of objects; all coordinates of boxes are.
        beta: Harmonizing weight, the mean over the examples where levels have densities of their
            own; 0 where there is no example.
        moving_average: Of the counts, after the iteration; None where the loss keeps none.
        share_before: Share of the gradient before harmonizing, where each example has weight 1.
        share_after: Share of the gradient as harmonized.
        positive_share_before: Of the positives in the gradient before harmonizing.
        positive_share_after: The same as harmonized.
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
        """exp(entropy) of the harmonized share: so many regions with equal gradient would do it."""
        share = self.share_after[self.share_after > 0]
        return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0


class _Call(NamedTuple):
    """Counts and gradient sums (2, M) of one call; its statistics, None for a part of a pyramid."""

    counts: Tensor
    gradients: Tensor
    statistics: Statistics | None


class DensityProbe:
    """Watches the harmonized losses of a model, as a context manager around one iteration.

    It takes one pass more over the examples of each loss.

    Args:
        model: An mmdet detector with GHM-C or GHM-R.
    """

    def __init__(self, model: nn.Module) -> None:
        self._losses = {
            name: module for name, module in model.named_modules() if isinstance(module, GHMLoss)
        }
        self._calls: dict[str, list[_Call]] = {name: [] for name in self._losses}
        self._handles: list = []

    def __enter__(self) -> DensityProbe:
        for name, loss in self._losses.items():
            reader = LossReader(loss, loss.density.edges, isinstance(loss, GHMCLoss))
            hook = partial(self._record, reader, self._calls[name])
            self._handles.append(loss.register_forward_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def result(self) -> list[Harmonizing]:
        """The numbers of every loss that was called with an example."""
        return [
            _harmonizing(name, self._losses[name], calls)
            for name, calls in self._calls.items()
            if any(call.counts.any() for call in calls)
        ]

    @staticmethod
    def _record(
        reader: LossReader,
        calls: list[_Call],
        loss: GHMLoss,
        arguments: tuple,
        keywords: dict,
        output: object,
    ) -> None:
        call = parse_call(arguments, keywords)
        if call is None:
            return
        if isinstance(loss, GHMRLoss) and loss.mu_of_call is not None:
            reader.mu = float(loss.mu_of_call)
        counts, gradients = (each.sum(1) for each in reader.read(call))
        # the loss of a pyramid is computed after the calls of all levels
        calls.append(
            _Call(counts, gradients, loss.statistics if isinstance(output, Tensor) else None)
        )


def _harmonizing(name: str, loss: GHMLoss, calls: list[_Call]) -> Harmonizing:
    counts = torch.stack([call.counts for call in calls]).double().cpu()
    gradients = torch.stack([call.gradients for call in calls]).cpu()
    statistics = [call.statistics or loss.statistics for call in calls]
    beta = torch.stack([each.beta for each in statistics]).double().cpu()
    # a loss divides by the examples of its own call, or of all calls together
    total = torch.stack([each.counts.sum() for each in statistics]).clamp(min=1).cpu()
    harmonized = gradients * (beta / total.unsqueeze(1)).unsqueeze(1)
    by_call = counts.sum(1)
    mean_beta = (by_call * beta).sum(0) / by_call.sum(0).clamp(min=1)
    average = loss.density.moving_average if loss.density.has_state else None
    before, positive_before = _shares(gradients.sum(0))
    after, positive_after = _shares(harmonized.sum(0))
    negatives, positives = counts.sum(0).long().numpy()
    return Harmonizing(
        name,
        'g' if isinstance(loss, GHMCLoss) else 'gr',
        negatives,
        positives,
        mean_beta.numpy(),
        None if average is None else average.cpu().numpy(),
        before,
        after,
        positive_before,
        positive_after,
    )


def _shares(gradients: Tensor) -> tuple[np.ndarray, float]:
    """Share of each region, and of the positives, from sums of shape (2, M)."""
    total = gradients.sum().clamp(min=1e-300)
    return (gradients.sum(0) / total).numpy(), float(gradients[1].sum() / total)
