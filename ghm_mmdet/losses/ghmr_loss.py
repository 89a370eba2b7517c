"""GHM-R: harmonized authentic smooth L1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmdet.registry import MODELS
from torch import Tensor

from ghm_mmdet.losses.ghm_loss import GHMLoss, build_density
from ghm_mmdet.losses.monitors import OutlierWatch
from ghm_mmdet.losses.partial_loss import PartialLoss
from ghm_mmdet.method.arguments import check_interval
from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.call_forms import either_weight
from ghm_mmdet.method.criteria import AuthenticSmoothL1, DenseTarget, working_dtype
from ghm_mmdet.method.median_error import MedianError
from ghm_mmdet.ops import Examples
from ghm_mmdet.ops.compiling import is_compiling, not_traced


@MODELS.register_module()
class GHMRLoss(GHMLoss):
    """Gradient harmonized regression loss, in place of smooth L1.

    Source: Li, Liu, Wang, *Gradient Harmonized Single-stage Detector*, AAAI 2019, section "GHM-R
        Loss".
    One example is one coordinate of one box. It is meant for encoded box deltas: on decoded boxes
    in pixels the gradient norm is near 1 for every example and its density says nothing, unless mu
    adapts. The defaults and the values are those of mmdet's ``GHMR``.

    Args:
        mu: Width of the quadratic part of ASL1, in the units of the box deltas; in [1e-18, 1e18].
            'median' follows the median error of the boxes, a moving average with ``momentum``.
        bins: M, the number of unit regions, bins of the gradient norm gr.
        momentum: a of the moving average over iterations, in [0, 1).
        loss_weight: Factor of the loss.
        reduction: 'none', 'mean' or 'sum'.
        density: 'mmdet', 'paper' or 'exact', see :class:`GHMCLoss`.
        bias_correction: See :class:`GHMCLoss`.
        balance: See :class:`GHMCLoss`; the outliers are the large errors.
        sync: See :class:`GHMCLoss`.

    Raises:
        ValueError: An argument is out of range, or has no effect beside the others.

    Attributes:
        mu_of_call: mu of the last call if mu adapts, else None; float32, 0-dim.

    Shape:
        - pred, target: Any equal shapes, (N, 4) from most heads.
        - output: 0-dim, or the prediction's shape with reduction 'none'.

    Examples:
        >>> loss = GHMRLoss(mu=0.02, bins=10, momentum=0.7, loss_weight=10.0)
        >>> deltas = torch.randn(64, 4, requires_grad=True)
        >>> loss(deltas, torch.zeros(64, 4)).backward()
    """

    mean_by_weight = True  # as in mmdet; with weights of 0 and 1 it is the number of valid examples
    criterion: AuthenticSmoothL1

    def __init__(
        self,
        mu: float | str = 0.02,
        bins: int = 10,
        momentum: float = 0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        density: str = 'mmdet',
        bias_correction: bool = False,
        balance: str | Mapping[str, object] | Balance = 'weight',
        sync: bool = False,
    ) -> None:
        adapts = mu == 'median'
        if not adapts:
            check_interval('mu', mu, AuthenticSmoothL1.MU, also=" or 'median'")
        gradient_density = build_density(density, bins, momentum, bias_correction)
        regions = gradient_density.bins
        if adapts and regions < MedianError.MIN_REGIONS:
            raise ValueError(
                f"bins={bins}: must be {MedianError.MIN_REGIONS} or more with mu='median'"
            )
        # errors are divided by the median error, so that mu is 1
        criterion = AuthenticSmoothL1(1.0 if isinstance(mu, str) else mu)
        super().__init__(criterion, gradient_density, balance, loss_weight, reduction, sync)
        self.outlier_watch = OutlierWatch()
        self.median_error = MedianError(regions, momentum) if adapts else None
        self.mu_of_call: Tensor | None = None
        self._mu_of_step: Tensor | None = None
        self._mu_of_levels: Tensor | None = None

    @property
    def mu(self) -> float:
        """mu of the next optimizer step; if it adapts, this reads it from the device."""
        return float(self.median_error.mu()) if self.median_error else self.criterion.mu

    @property
    def state(self) -> list[Tensor]:
        """See :class:`GHMLoss`."""
        median = [self.median_error.average] if self.median_error else []
        return [*self.density.state, *median]

    @not_traced
    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        *,
        label_weight: Tensor | None = None,
    ) -> Tensor | PartialLoss:
        """Loss of one call of a head; arguments and errors are those of :class:`GHMCLoss`.

        Args:
            pred: Predicted box deltas.
            target: Target box deltas, of the same shape.
            weight: One per box (N,), one per coordinate, also flattened, or broadcastable to
                ``pred``; 0 ignores. None is all ones.
            avg_factor: Not used: N is already in the weights.
            reduction_override: Overrides ``reduction`` for this call.
            label_weight: The name that mmdet's ``GHMR`` has for ``weight``.
        """
        weight = either_weight(weight, label_weight)
        examples = Examples.of_call(self.criterion, pred, target, weight)
        if self.median_error:
            self._undo_casts()  # mu is read before the rest of the buffers
            examples = self._in_units_of_mu(examples)
        return self.harmonize(examples, reduction_override)

    @contextmanager
    def split_levels(self, ignore_factors: bool = False) -> Iterator[None]:
        """See :class:`GHMLoss`; all levels are in units of one mu."""
        self._mu_of_levels = None
        with super().split_levels(ignore_factors):
            yield

    def _in_units_of_mu(self, examples: Examples) -> Examples:
        """Errors divided by mu, in float32 or float64, with targets of zero.

        ASL1 of width mu is mu times ASL1 of width 1 in units of mu.
        """
        self.mu_of_call = self._current_mu()
        pred, target, weight, _ = examples
        assert isinstance(target, DenseTarget)
        difference = pred.to(working_dtype(pred)) - target.values
        zero = DenseTarget(torch.zeros_like(difference))
        return Examples(difference / self.mu_of_call, zero, weight, factor=self.mu_of_call)

    def _current_mu(self) -> Tensor:
        splits_levels = self._ignores_factors is not None
        if splits_levels and self._mu_of_levels is not None:
            return self._mu_of_levels
        trains = self._trains
        if trains and self._was_restored:
            self._check_and_restart()  # do not begin with the mu of another run
        assert self.median_error is not None
        mu = self.median_error.mu()
        if trains:
            # all calls of an optimizer step have one mu
            if self.step.begins or self._mu_of_step is None:
                self._mu_of_step = mu
            mu = self._mu_of_step
        self._mu_of_levels = mu
        return mu

    def _update_running_stats(self, counts: Tensor, update_unless: Tensor) -> None:
        if self.median_error is None:
            if not is_compiling():
                self.outlier_watch(counts, self.criterion.mu)
        elif self._mu_of_step is not None:
            self.median_error.update(counts, self._mu_of_step, (update_unless != 0).any())
