"""What GHM-C and GHM-R share: region sums in, one harmonized loss out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn

from ghm_mmdet.arguments import check_choice, check_interval, check_positive_integer
from ghm_mmdet.balance import Balance
from ghm_mmdet.criteria import Criterion, Target
from ghm_mmdet.density import (
    AverageState,
    ExactDensity,
    GradientDensity,
    UnitRegionDensity,
    harmonizing_weight,
)
from ghm_mmdet.losses.before_update import before_update
from ghm_mmdet.losses.nonfinite_flags import NonfiniteFlags
from ghm_mmdet.losses.optimizer_step import OptimizerStep
from ghm_mmdet.losses.ranks import over_ranks
from ghm_mmdet.ops import RegionSums, example_losses, region_sums
from ghm_mmdet.ops.backends import MODULES

REDUCTIONS = ('none', 'mean', 'sum')


class Statistics(NamedTuple):
    """What the last reduced call saw, for logs and plots.

    Attributes:
        counts: R_j, int64, shape (M,).
        losses: Sum of the element losses per region before harmonizing, shape (M,); of a pyramid,
            with the factors of its levels, where these differ. This rank's, also with ``sync``.
        beta: Harmonizing weight per region, shape (M,).
    """

    counts: Tensor
    losses: Tensor
    beta: Tensor


@dataclass(frozen=True)
class PartialLoss:
    """One level's share of a loss whose density spans several levels.

    Attributes:
        loss: Makes one of all shares.
        sums: This level's.
        factor: What a head has scaled its level's loss with.
    """

    loss: GHMLoss
    sums: RegionSums
    factor: float | Tensor = 1.0

    def __mul__(self, factor: float | Tensor) -> PartialLoss:
        return replace(self, factor=self.factor * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> PartialLoss:
        return replace(self, factor=self.factor / divisor)


def build_density(
    *,
    density: str,
    bins: int,
    epsilon: float,
    momentum: float,
    bias_correction: bool,
    divisor: str,
    empty_regions: str,
) -> GradientDensity:
    """The density that the arguments of a loss name.

    Raises:
        ValueError: An argument is out of range.
    """
    check_choice('density', density, ('unit_region', 'exact'))
    check_positive_integer('bins', bins)
    check_interval('epsilon', epsilon, '(0, 1]')
    check_interval('momentum', momentum, '[0, 1)')
    check_choice('bias_correction', bias_correction, (False, True))
    check_choice('divisor', divisor, ('non_empty', 'all'))
    check_choice('empty_regions', empty_regions, ('freeze', 'decay'))
    if density == 'exact':
        return ExactDensity(epsilon, momentum, bias_correction)
    return UnitRegionDensity(
        bins,
        divisor,
        momentum=momentum,
        bias_correction=bias_correction,
        empty_regions=empty_regions,
    )


def build_balance(*, equal: str, tempering: float, outliers: str, density: str) -> Balance:
    """The balance that the arguments of a loss name.

    Raises:
        ValueError: An argument is out of range.
    """
    check_choice('equal', equal, ('weight', 'gradient'))
    check_interval('tempering', tempering, '[0, 1]')
    check_choice('outliers', outliers, ('damp', 'keep'))
    if outliers == 'keep' and density == 'exact':
        raise ValueError("outliers='keep': must be 'damp' with density='exact'")
    return Balance(equal, tempering, outliers)


class GHMLoss(nn.Module):
    """Base of the harmonized losses: L = (1/N) sum_i beta_i l_i, beta constant in the backward
    pass.

    A subclass gives a criterion (what an example is) and turns its head's call into a target.

    Args:
        criterion: Loss and gradient norm of one example.
        density: Counts to gradient density, with the moving average.
        balance: What the weights make equal, and how far.
        loss_weight: Factor of the loss.
        reduction: 'mean' divides by N, 'sum' does not, 'none' gives beta_i l_i per example.
        backend: What computes the region sums: 'reference', 'torch', 'cpp', 'triton', or None for
            what :func:`ghm_mmdet.ops.backends.choose` names.
        sync: Whether the density, N and the moving average are those of the batches of all ranks.
            Every rank then has to call the loss in every iteration.
        nonfinite: What NaN or infinite input makes of the loss: 'propagate' NaN, 'skip' zero.

    Attributes:
        step: Where the calls are in the training, for the hook that knows.
        nonfinite_flags: Of the calls that train, for the same hook.
    """

    def __init__(
        self,
        criterion: Criterion,
        density: GradientDensity,
        balance: Balance,
        loss_weight: float,
        reduction: str,
        backend: str | None = None,
        sync: bool = False,
        nonfinite: str = 'propagate',
    ) -> None:
        super().__init__()
        check_choice('nonfinite', nonfinite, ('propagate', 'skip'))
        check_choice('backend', backend, (None, *MODULES))
        check_choice('sync', sync, (False, True))
        check_choice('reduction', reduction, REDUCTIONS)
        check_interval('loss_weight', loss_weight, '[0, inf)')
        self.criterion = criterion
        self.density = density
        self.balance = balance
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.backend = backend
        self.sync = sync
        self.nonfinite = nonfinite
        self.nonfinite_flags = NonfiniteFlags()
        self.step = OptimizerStep()
        self.statistics: Statistics | None = None
        self._splits_levels = False
        self._was_restored = False

    @property
    def state(self) -> list[Tensor]:
        """The buffers that change in training; at zero they start afresh."""
        return self.density.state

    def total(self, sums: RegionSums) -> Tensor:
        """N, the number that the mean divides by: the valid examples."""
        return sums.counts.sum().to(sums.losses.dtype)

    @contextmanager
    def split_levels(self) -> Iterator[None]:
        """Inside, calls return a :class:`PartialLoss`; :meth:`merge` makes the loss of them."""
        self._splits_levels = True
        try:
            yield
        finally:
            self._splits_levels = False

    def merge(self, parts: Sequence[PartialLoss]) -> Tensor:
        """One loss with one density over the examples of all parts, 0-dim.

        The first part's factor is taken for all: parts that a head scales apart have theirs in
        their sums.
        """
        total = parts[0].sums
        for part in parts[1:]:
            total = total.merge(part.sums)
        nonfinite = torch.stack([part.sums.nonfinite for part in parts])
        return self._reduce(total, self.reduction, nonfinite) * parts[0].factor

    def harmonize(
        self, prediction: Tensor, target: Target, weight: Tensor | None, reduction: str | None
    ) -> Tensor | PartialLoss:
        """The loss of these examples, once the head's call has been brought to one form.

        Args:
            prediction: Any shape, any float dtype.
            target: Matches the prediction.
            weight: Broadcastable to the examples, or None.
            reduction: Overrides that of the constructor unless None.
        """
        check_choice('reduction_override', reduction, (None, *REDUCTIONS))
        reduction = reduction or self.reduction
        if self.nonfinite == 'skip':
            prediction = prediction.view_as(prediction)  # a node of our own in the graph
        sums = self._region_sums(prediction, target, weight)
        if self.nonfinite == 'skip' and prediction.requires_grad:
            poisoned = sums.nonfinite > 0
            prediction.register_hook(lambda gradient: gradient.masked_fill(poisoned, 0))
        if reduction == 'none':
            beta = self._weigh(sums)[0] * self.loss_weight
            losses = self._example_losses(prediction, target, weight, beta)
            losses = self._without_poison(losses, sums)
            return losses if losses.shape == prediction.shape else losses.squeeze(-1)
        if self._splits_levels:
            return PartialLoss(self, sums)
        return self._reduce(sums, reduction, sums.nonfinite.reshape(1))

    def _region_sums(self, prediction: Tensor, target: Target, weight: Tensor | None) -> RegionSums:
        edges = self.density.edges
        return region_sums(self.criterion, prediction, target, weight, edges, self.backend)

    def _example_losses(
        self, prediction: Tensor, target: Target, weight: Tensor | None, beta: Tensor
    ) -> Tensor:
        edges = self.density.edges
        return example_losses(self.criterion, prediction, target, weight, edges, beta)

    def _reduce(self, sums: RegionSums, reduction: str, nonfinite: Tensor) -> Tensor:
        # a call in eval mode or under no_grad looks at examples, it does not train on them
        trains = self.training and torch.is_grad_enabled()
        ranks = get_world_size() if self.sync and trains else 1
        if ranks > 1:
            sums = over_ranks(sums)
        beta = self._weigh_and_update(sums, nonfinite) if trains else self._weigh(sums)[0]
        self.statistics = Statistics(sums.counts, sums.losses.detach(), beta)
        loss = (beta.to(sums.losses.dtype) * sums.losses).sum()
        if reduction == 'mean':
            loss = loss / self.total(sums).clamp(min=1) * ranks
        return self._without_poison(loss, sums) * self.loss_weight

    def _without_poison(self, loss: Tensor, sums: RegionSums) -> Tensor:
        return loss if self.nonfinite == 'propagate' else loss.where(sums.nonfinite == 0, 0)

    @torch.no_grad()
    def _weigh_and_update(self, sums: RegionSums, nonfinite: Tensor) -> Tensor:
        """beta of a call that trains: the moving average goes on where the optimizer steps."""
        poisoned = sums.nonfinite > 0
        if self.state:
            self._before_update()
        call = self.step.next_call()
        self.nonfinite_flags(call, nonfinite)
        seen, poisoned = self.step.so_far(call, sums, poisoned)
        beta, state = self._weigh(seen)
        if self.step.is_last:
            self._store(state, seen, poisoned)
        return beta

    def _store(self, state: AverageState, seen: RegionSums, keep_old: Tensor) -> None:
        """Make what these examples have changed the module's own, unless ``keep_old`` holds."""
        self.density.store(state, keep_old)

    @torch.no_grad()
    def _weigh(self, sums: RegionSums) -> tuple[Tensor, AverageState]:
        """beta per region, of poisoned input NaN or 0, and the moving average behind it."""
        state = self.density.average(sums.counts)
        density = self.density.density(sums.counts, state)
        total = self.total(sums).clamp(min=1).to(density.dtype)
        beta = harmonizing_weight(density, total)
        beta = self.balance.weight(beta, sums.counts, self.density.gradient_norm)
        poisoned = float('nan') if self.nonfinite == 'propagate' else 0.0
        return beta.where(sums.nonfinite == 0, poisoned), state

    def _before_update(self) -> None:
        before_update(self.state, self._was_restored)
        self._was_restored = False

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Also reads the buffers of mmdet's GHMC and GHMR, ``edges`` and ``acc_sum``."""
        state_dict.pop(f'{prefix}edges', None)
        average = state_dict.pop(f'{prefix}acc_sum', None)
        if average is not None and self.density.has_state:
            state_dict[f'{prefix}density.moving_average'] = average
            if self.density.bias_correction:
                # mmdet does not count its updates; a region that has any is taken to have converged
                state_dict[f'{prefix}density.moving_weight'] = (average > 0).to(average.dtype)
        self._was_restored = True
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
