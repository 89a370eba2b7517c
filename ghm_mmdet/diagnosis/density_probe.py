"""What the harmonized losses of a model do in one iteration, region by region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass
class _Calls:
    """The calls of one loss: counts and gradient sums (2, M) of each, and its statistics."""

    counts: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    statistics: list[Statistics | None] = field(default_factory=list)


class DensityProbe:
    """Watches the harmonized losses of a model, as a context manager around one iteration.

    One extra pass over the examples of each loss.

    Args:
        model: An mmdet detector with GHM-C or GHM-R.
    """

    def __init__(self, model: nn.Module) -> None:
        self._losses = {
            name: module for name, module in model.named_modules() if isinstance(module, GHMLoss)
        }
        self._calls = {name: _Calls() for name in self._losses}
        self._handles: list = []

    def __enter__(self) -> DensityProbe:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Watch from now on."""
        for name, loss in self._losses.items():
            reader = LossReader(loss, loss.density.edges, isinstance(loss, GHMCLoss))
            hook = self._watch(reader, self._calls[name])
            self._handles.append(loss.register_forward_hook(hook, with_kwargs=True))

    def stop(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def result(self) -> list[Harmonizing]:
        """What was seen, for every loss that was called with an example."""
        found = (
            _harmonizing(name, self._losses[name], calls) for name, calls in self._calls.items()
        )
        return [each for each in found if each is not None]

    @staticmethod
    def _watch(reader: LossReader, calls: _Calls) -> Callable[..., None]:
        def hook(loss: GHMLoss, arguments: tuple, keywords: dict, output: object) -> None:
            call = parse_call(arguments, keywords)
            if call is None:
                return
            if isinstance(loss, GHMRLoss) and loss.mu_of_call is not None:
                reader.mu = float(loss.mu_of_call)
            seen = reader.read(call)
            calls.counts.append(seen.counts.sum(1))
            calls.gradients.append(seen.gradients.sum(1))
            # a part of a pyramid has none yet: its loss is that of all levels together
            whole = isinstance(output, Tensor)
            calls.statistics.append(loss.statistics if whole else None)

        return hook


def _harmonizing(name: str, loss: GHMLoss, calls: _Calls) -> Harmonizing | None:
    if not calls.counts or not sum(counts.sum() for counts in calls.counts):
        return None
    counts = torch.stack(calls.counts).double().cpu()
    gradients = torch.stack(calls.gradients).cpu()
    statistics = [loss.statistics if each is None else each for each in calls.statistics]
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
