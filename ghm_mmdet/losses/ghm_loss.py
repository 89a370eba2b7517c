"""The base of GHM-C and GHM-R: from the examples of a call to one harmonized loss."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from ghm_mmdet.losses.all_reduce import over_ranks
from ghm_mmdet.losses.class_weight import ClassWeight
from ghm_mmdet.losses.monitors import NonfiniteFlags
from ghm_mmdet.losses.optimizer_step import OptimizerStep
from ghm_mmdet.losses.partial_loss import PartialLoss
from ghm_mmdet.losses.restart import check_and_restart
from ghm_mmdet.method.arguments import check_choice, check_interval, check_positive_integer
from ghm_mmdet.method.balance import Balance, build_balance
from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.method.density import (
    ExactDensity,
    GradientDensity,
    UnitRegionDensity,
    region_edges,
)
from ghm_mmdet.ops import (
    Examples,
    HarmonizedLoss,
    Reduction,
    choose_backend,
    example_losses,
    harmonized_loss,
    level_sums,
    loss_from_sums,
    region_weights,
    scaled,
    with_gradient,
)
from ghm_mmdet.ops.compiling import not_traced

REDUCTIONS = ('none', 'mean', 'sum')
CAST = (
    '{}: its buffers were cast to {}, as by buffer_dtype in the MixedPrecision of FSDP. They are '
    'float32 again, but the moving averages were rounded, and start afresh where they overflowed: '
    'leave buffer_dtype out'
)


class Statistics(NamedTuple):
    """The numbers per region of the last reduced call, for logs and plots.

    Attributes:
        counts: R_j, int64, shape (M,).
        beta: Harmonizing weight per region, shape (M,).
    """

    counts: Tensor
    beta: Tensor


def build_density(
    density: str, bins: int, momentum: float, bias_correction: bool
) -> GradientDensity:
    """The density that the arguments of a loss name.

    Raises:
        ValueError: An argument is out of range.
    """
    check_choice('density', density, ('mmdet', 'paper', 'exact'))
    if density == 'exact':
        check_positive_integer('bins', bins)  # before it divides
        return ExactDensity(1 / bins, momentum, bias_correction)
    return UnitRegionDensity(bins, density, momentum, bias_correction)


class GHMLoss(nn.Module):
    """Base of the harmonized losses: L = (1/N) sum_i beta_i l_i, beta without a gradient.

    A subclass gives a criterion, and converts the arguments of a head's call to :class:`Examples`.

    Args:
        criterion: Loss and gradient norm of one example.
        density: Computes the gradient density from counts, with the moving average.
        balance: Whether the weights make regions equal in weight or gradient, and how far, see
            :func:`ghm_mmdet.method.balance.build_balance`.
        loss_weight: Factor of the loss.
        reduction: 'mean' divides by N, 'sum' does not, 'none' gives beta_i l_i per example; a call
            with 'none' uses the moving average and does not change it.
        sync: Whether the density, N and the moving average are over the batches of all ranks.
            Every rank then has to call the loss in every iteration.

    Attributes:
        step: Position of the calls in the training, for ``HarmonizedLossHook``.
        nonfinite_flags: Of the calls that train, for the same hook.
        mean_by_weight: Whether N is the sum of the weights, and not the number of valid examples.

    Raises:
        ValueError: An argument is out of range.
    """

    mean_by_weight = False

    def __init__(
        self,
        criterion: Criterion,
        density: GradientDensity,
        balance: str | Mapping[str, object] | Balance = 'weight',
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        sync: bool = False,
    ) -> None:
        super().__init__()
        check_choice('reduction', reduction, REDUCTIONS)
        # a call that does not reduce has the density of its own examples
        check_choice('sync', sync, (False,) if reduction == 'none' else (False, True))
        check_interval('loss_weight', loss_weight, '[0, inf)')
        self.criterion = criterion
        self.density = density
        self.balance = build_balance(balance, density)
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.sync = sync
        self.class_weight: ClassWeight | None = None
        self.nonfinite_flags = NonfiniteFlags()
        self.step = OptimizerStep()
        self.statistics: Statistics | None = None
        self._ignores_factors: bool | None = None  # a bool while levels are split
        self._was_restored = False
        self._was_cast = False

    @property
    def state(self) -> list[Tensor]:
        """The buffers that change in training; zeros are their initial state."""
        return self.density.state

    @property
    def _trains(self) -> bool:
        # a call in eval mode or under no_grad does not train
        return self.training and torch.is_grad_enabled()

    def reset(self) -> None:
        """Set the moving averages to zero, their state before a training."""
        for buffer in self.state:
            buffer.zero_()
        self._was_restored = False

    def _undo_casts(self) -> None:
        """Make the buffers float32 if something has cast them in spite of :class:`FixedDtype`."""
        edges = self.density.edges
        # a cast changes all buffers, so one is enough to check
        if edges.dtype == torch.float32:
            return
        if not self._was_cast:
            self._was_cast = True
            print_log(CAST.format(type(self).__name__, edges.dtype), 'current', logging.WARNING)
        for buffer in self.state:
            values = buffer.float()
            buffer.data = values.where(values.isfinite(), 0)
        # edges that were rounded to half precision differ
        edges.data = region_edges(self.density.bins).to(edges.device)

    @contextmanager
    def split_levels(self, ignore_factors: bool = False) -> Iterator[None]:
        """Make calls inside return a :class:`PartialLoss`, which :meth:`merge` turns into a loss.

        Args:
            ignore_factors: Whether factors that a head multiplies a level's loss by have no effect.
        """
        before, self._ignores_factors = self._ignores_factors, ignore_factors
        try:
            yield
        finally:
            self._ignores_factors = before

    @not_traced
    def merge(self, parts: Sequence[PartialLoss]) -> Tensor:
        """One loss with one density over the examples of all parts, 0-dim.

        All parts must have the same reduction.

        Raises:
            ValueError: Targets are out of range, see :class:`GHMCLoss`.
        """
        return self._reduce([part.examples for part in parts], parts[0].reduction)

    def harmonize(self, examples: Examples, reduction: str | None) -> Tensor | PartialLoss:
        """The loss of these examples, to which a subclass has converted the head's call.

        Args:
            examples: Of the call.
            reduction: Overrides the constructor's ``reduction`` unless None.
        """
        if reduction is None:
            reduction = self.reduction
        check_choice('reduction_override', reduction, REDUCTIONS)
        if reduction == 'none':
            return self._losses_of_examples(examples)
        if self._ignores_factors is not None:  # levels are split
            return PartialLoss(self, examples, reduction, self._ignores_factors)
        return self._reduce([examples], reduction)

    def _losses_of_examples(self, examples: Examples) -> Tensor:
        """beta_i l_i of every example; this changes no state."""
        self._undo_casts()
        if self.class_weight is not None:
            (examples,) = self.class_weight.prepare([examples], self.criterion, self._trains)
        edges = self.density.edges
        sums, _ = level_sums(self.criterion, [examples], edges, choose_backend([examples]))
        self._check_targets(examples, sums.bad_targets)
        beta, _ = region_weights(self.density, self.balance, self._reduction('none'), sums)
        beta = beta * self.loss_weight
        losses = example_losses(self.criterion, examples, edges, beta)
        if self.class_weight is not None:
            losses = self.class_weight.weigh(losses, self.criterion, examples, edges, beta)
        losses = scaled(losses, examples.factor)
        return losses if losses.shape == examples.prediction.shape else losses.squeeze(-1)

    def _reduce(self, levels: Sequence[Examples], reduction: str) -> Tensor:
        self._undo_casts()
        trains = self._trains
        if self.class_weight is not None:
            levels = self.class_weight.prepare(levels, self.criterion, trains)
        backend = choose_backend(levels)
        ranks = get_world_size() if self.sync and trains else 1
        how = self._reduction(reduction, ranks)
        if trains:
            self._check_and_restart()
        if ranks == 1 and (self.step.is_one_call or not trains):
            result = harmonized_loss(
                self.criterion, levels, self.density, self.balance, how, trains, backend
            )
            self._check_targets(levels[0], result.bad_targets)
            if trains:
                self.nonfinite_flags.note(self.step.next_call(), result.nonfinite)
                self._update_running_stats(result.counts, result.nonfinite)
        else:
            result = self._of_whole_step(levels, how, ranks, backend)
        loss, beta, scale, counts, *_ = result
        # a module takes longer to assign than its dictionary
        self.__dict__['statistics'] = Statistics(counts, beta)
        if self.class_weight is not None:
            edges = self.density.edges
            loss = loss + self.class_weight.extra(self.criterion, levels, edges, scale)
        return loss

    def _of_whole_step(
        self,
        levels: Sequence[Examples],
        how: Reduction,
        ranks: int,
        backend: ModuleType | None,
    ) -> HarmonizedLoss:
        """The loss of a call with one density over all ranks, or over several micro-batches."""
        edges = self.density.edges
        sums, nonfinite = level_sums(self.criterion, levels, edges, backend)
        self._check_targets(levels[0], sums.bad_targets)
        if ranks > 1:
            sums = over_ranks(sums)
        call = self.step.next_call()
        self.nonfinite_flags.note(call, nonfinite)
        step_sums, poisoned = self.step.accumulate(call, sums)
        update_unless = poisoned if self.step.is_last else None
        harmonized = loss_from_sums(
            self.density, self.balance, how, sums, step_sums, update_unless, backend
        )
        if update_unless is not None:
            self._update_running_stats(step_sums.counts, update_unless)
        return with_gradient(harmonized, sums, nonfinite, self.criterion, levels, edges, backend)

    def _reduction(self, name: str, ranks: int = 1) -> Reduction:
        mean = name == 'mean'
        return Reduction(mean, self.mean_by_weight, self.loss_weight * (ranks if mean else 1))

    def _check_targets(self, examples: Examples, bad_targets: Tensor) -> None:
        """Note the number of targets that are out of range, int64, 0-dim; for subclasses."""

    def _check_and_restart(self) -> None:
        state = self.state
        if state:
            check_and_restart(state, self._was_restored)
            if self._was_restored:  # a module takes longer to assign than to ask
                self._was_restored = False

    def _update_running_stats(self, counts: Tensor, update_unless: Tensor) -> None:
        """Update further running statistics unless a number of ``update_unless`` is not 0."""

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Also reads the buffers of mmdet's GHMC and GHMR, ``edges`` and ``acc_sum``."""
        state_dict.pop(f'{prefix}edges', None)
        average = state_dict.pop(f'{prefix}acc_sum', None)
        density = f'{prefix}density'
        if average is not None and self.density.has_state:
            state_dict[f'{density}.moving_average'] = average
        average = state_dict.get(f'{density}.moving_average')
        if average is not None and self.density.has_state and self.density.bias_correction:
            # the number of updates is unknown: a region that has any counts as converged
            converged = (average > 0).to(average.dtype)
            state_dict.setdefault(f'{density}.moving_weight', converged)
        self._was_restored = True
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
