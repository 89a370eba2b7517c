"""What GHM-C and GHM-R share: region sums in, one harmonized loss out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from ghm_mmdet.losses.before_update import before_update
from ghm_mmdet.losses.nonfinite_flags import NonfiniteFlags
from ghm_mmdet.losses.optimizer_step import OptimizerStep
from ghm_mmdet.losses.ranks import over_ranks
from ghm_mmdet.method.arguments import check_choice, check_interval, check_positive_integer
from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.method.density import ExactDensity, GradientDensity, UnitRegionDensity, region_edges
from ghm_mmdet.ops import (
    Level,
    Reduction,
    RegionSums,
    example_losses,
    harmonized_loss,
    is_one,
    level_sums,
    region_weights,
    scaled,
    with_gradient,
)
from ghm_mmdet.ops.backends import MODULES

REDUCTIONS = ('none', 'mean', 'sum')
CAST = (
    '{}: its buffers were cast to {}, as by buffer_dtype in the MixedPrecision of FSDP. They are '
    'float32 again, but the moving averages were rounded, and start afresh where they overflowed: '
    'leave buffer_dtype out'
)


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

    It is computed with the others, of what its tensors hold then.

    Attributes:
        loss: Makes one of all shares.
        level: Its examples.
        reduction: Of the loss of all shares.
        factor: What a head has scaled its level's loss with.
    """

    loss: GHMLoss
    level: Level
    reduction: str
    factor: float | Tensor = 1.0

    def __mul__(self, factor: float | Tensor) -> PartialLoss:
        return replace(self, factor=scaled(self.factor, factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> PartialLoss:
        return self if is_one(divisor) else replace(self, factor=self.factor / divisor)


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
        backend: What computes the region sums: 'reference', 'torch', 'cpp', 'triton', 'float32', or
            None for what :func:`ghm_mmdet.ops.backends.choose` names.
        sync: Whether the density, N and the moving average are those of the batches of all ranks.
            Every rank then has to call the loss in every iteration.
        nonfinite: What NaN or infinite input makes of the loss: 'propagate' NaN, 'skip' zero.

    Attributes:
        step: Where the calls are in the training, for the hook that knows.
        nonfinite_flags: Of the calls that train, for the same hook.
        mean_by_weight: Whether N is the sum of the weights, and not the number of valid examples.
    """

    mean_by_weight = False

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
        self._was_cast = False

    @property
    def state(self) -> list[Tensor]:
        """The buffers that change in training; at zero they start afresh."""
        return self.density.state

    @property
    def _trains(self) -> bool:
        # a call in eval mode or under no_grad looks at examples, it does not train on them
        return self.training and torch.is_grad_enabled()

    def start_afresh(self) -> None:
        """Forget what another training has left in the moving averages."""
        for buffer in self.state:
            buffer.zero_()
        self._was_restored = False

    def _undo_casts(self) -> None:
        """Make the buffers float32 where something has cast them past :class:`FixedDtype`."""
        edges = self.density.edges
        # what casts them casts them all
        if edges.dtype == torch.float32:
            return
        if not self._was_cast:
            self._was_cast = True
            print_log(CAST.format(type(self).__name__, edges.dtype), 'current', logging.WARNING)
        for buffer in self.state:
            values = buffer.float()
            buffer.data = values.where(values.isfinite(), 0)
        # those of half precision are other edges
        edges.data = region_edges(self.density.num_regions).to(edges.device)

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

        The first part's factor and reduction are taken for all: parts that a head scales apart have
        theirs in their levels.

        Raises:
            ValueError: Targets are out of range, see :class:`GHMCLoss`.
        """
        loss = self._reduce([part.level for part in parts], parts[0].reduction)
        return scaled(loss, parts[0].factor)

    def harmonize(self, level: Level, reduction: str | None) -> Tensor | PartialLoss:
        """The loss of these examples, once the head's call has been brought to one form.

        Args:
            level: The examples.
            reduction: Overrides that of the constructor unless None.
        """
        check_choice('reduction_override', reduction, (None, *REDUCTIONS))
        reduction = reduction or self.reduction
        if reduction == 'none':
            return self._each(level)
        if self._splits_levels:
            return PartialLoss(self, level, reduction)
        return self._reduce([level], reduction)

    def _each(self, level: Level) -> Tensor:
        """The loss of every example; this changes no state."""
        (level,), sums, _ = self._sums([level])
        beta, _ = region_weights(self.density, self.balance, self._reduction('none'), sums)
        beta = beta * self.loss_weight
        losses = example_losses(self.criterion, *level.examples, self.density.edges, beta)
        losses = scaled(losses, level.factor)
        if self.nonfinite == 'skip':
            losses = losses.where(sums.nonfinite == 0, 0)
        return losses if losses.shape == level.prediction.shape else losses.squeeze(-1)

    def _reduce(self, levels: Sequence[Level], reduction: str) -> Tensor:
        trains = self._trains
        levels, sums, nonfinite = self._sums(levels)
        ranks = get_world_size() if self.sync and trains else 1
        if ranks > 1:
            sums = over_ranks(sums)
        seen, keep_old = self._so_far(sums, nonfinite) if trains else (sums, None)
        how = self._reduction(reduction, ranks)
        loss, beta, scale = harmonized_loss(
            self.density, self.balance, how, sums, seen, keep_old, self.backend
        )
        if keep_old is not None:
            self._update(seen, keep_old)
        self.statistics = Statistics(sums.counts, sums.losses.detach(), beta)
        edges = self.density.edges
        return with_gradient(loss, scale, self.criterion, levels, edges, self.backend)

    def _sums(self, levels: Sequence[Level]) -> tuple[Sequence[Level], RegionSums, Tensor]:
        """The sums of all levels and each level's examples that are not finite.

        Returns:
            The levels, whose gradients are zero where such examples are to be skipped; their sums;
            and how many of them are not finite, shape (L,).
        """
        if self.nonfinite == 'skip':
            # nodes of our own in the graph
            levels = [
                each._replace(prediction=each.prediction.view_as(each.prediction))
                for each in levels
            ]
        edges = self.density.edges
        sums, nonfinite = level_sums(self.criterion, levels, edges, self.backend)
        if self.nonfinite == 'skip':
            poisoned = sums.nonfinite > 0
            for each in levels:
                if each.prediction.requires_grad:
                    each.prediction.register_hook(lambda grad: grad.masked_fill(poisoned, 0))
        return levels, sums, nonfinite

    def _reduction(self, name: str, ranks: int = 1) -> Reduction:
        return Reduction(
            factor=self.loss_weight * (ranks if name == 'mean' else 1),
            mean=name == 'mean',
            by_weight=self.mean_by_weight,
            skips=self.nonfinite == 'skip',
        )

    @torch.no_grad()
    def _so_far(self, sums: RegionSums, nonfinite: Tensor) -> tuple[RegionSums, Tensor | None]:
        """What this optimizer step has seen with this call, which trains.

        Returns:
            The sums with its counts; and where the optimizer steps after them, a 0-dim number that
            is 0 unless input was not finite, else None.
        """
        self._before_update()
        call = self.step.next_call()
        self.nonfinite_flags(call, nonfinite)
        seen, poisoned = self.step.so_far(call, sums)
        return seen, poisoned if self.step.is_last else None

    def _before_update(self) -> None:
        state = self.state
        if state:
            before_update(state, self._was_restored)
            self._was_restored = False

    def _update(self, seen: RegionSums, keep_old: Tensor) -> None:
        """Change what else than the density follows the examples, unless ``keep_old`` is not 0."""

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Also reads the buffers of mmdet's GHMC and GHMR, ``edges`` and ``acc_sum``."""
        state_dict.pop(f'{prefix}edges', None)
        average = state_dict.pop(f'{prefix}acc_sum', None)
        density = f'{prefix}density'
        if average is not None and self.density.has_state:
            state_dict[f'{density}.moving_average'] = average
        average = state_dict.get(f'{density}.moving_average')
        if average is not None and self.density.has_state and self.density.bias_correction:
            # without a count of the updates a region that has any is taken to have converged
            converged = (average > 0).to(average.dtype)
            state_dict.setdefault(f'{density}.moving_weight', converged)
        self._was_restored = True
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
