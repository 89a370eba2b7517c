"""Authentic smooth L1, the criterion of GHM-R."""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.arguments import check_interval
from ghm_mmdet.method.criteria.criterion import Criterion, Evaluation, working_dtype
from ghm_mmdet.method.criteria.targets import Target


class AuthenticSmoothL1(Criterion):
    """ASL1(d) = sqrt(d^2 + mu^2) - mu: one example is one box coordinate.

    Paper, section "GHM-R Loss": d ASL1 / d d = d / sqrt(d^2 + mu^2). Its magnitude gr is below 1,
    so that unlike with smooth L1 it distinguishes hard and very hard examples. An example whose d^2
    overflows, in float32 from |d| of 1.8e19 on, is not finite.

    Args:
        mu: Width of the quadratic part, in the units of the regression target; in ``MU``.

    Raises:
        ValueError: mu is out of range.
    """

    MU = '[1e-18, 1e18]'  # float32 holds the squares; with a square of 0, gr at d = 0 would be NaN

    def __init__(self, mu: float) -> None:
        check_interval('mu', mu, self.MU)
        super().__init__(f'authentic_smooth_l1({mu})')
        self.mu = mu

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        difference, root = self._difference_and_root(prediction, target)
        # d^2 / (root + mu) is root - mu without the cancellation at small d
        loss = difference * (difference / (root + self.mu))
        return Evaluation(loss, (difference / root).abs(), loss.isfinite())

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        difference, root = self._difference_and_root(prediction, target)
        return difference / root

    def _difference_and_root(self, prediction: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        difference = target.subtract_from(prediction.to(working_dtype(prediction)))
        square = difference * difference + self.mu * self.mu
        # 0 times an infinite square makes the root NaN: with an infinite root gr would be 0
        return difference, torch.add(square, square, alpha=0).sqrt()
