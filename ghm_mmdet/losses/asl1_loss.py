"""Authentic smooth L1 without harmonizing: the paper's ablation row."""

from __future__ import annotations

from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor, nn

from ghm_mmdet.losses.ghm_loss import REDUCTIONS
from ghm_mmdet.method.arguments import check_choice, check_interval
from ghm_mmdet.method.call_forms import box_target, example_weight
from ghm_mmdet.method.criteria import AuthenticSmoothL1


@MODELS.register_module()
class AuthenticSmoothL1Loss(nn.Module):
    """ASL1(d) = sqrt(d^2 + mu^2) - mu, weighted and averaged like mmdet's smooth L1.

    Source: Li, Liu, Wang, *Gradient Harmonized Single-stage Detector*, AAAI 2019, section "GHM-R
        Loss".

    Args:
        mu: Width of the quadratic part, in the units of the box deltas; in [1e-18, 1e18].
        reduction: 'none', 'mean' or 'sum'.
        loss_weight: Factor of the loss.

    Shape:
        - pred, target: Any equal shapes, (N, 4) from most heads.
        - output: 0-dim, or the prediction's shape with reduction 'none'.
    """

    def __init__(self, mu: float = 0.02, reduction: str = 'mean', loss_weight: float = 1.0) -> None:
        super().__init__()
        check_choice('reduction', reduction, REDUCTIONS)
        check_interval('loss_weight', loss_weight, '[0, inf)')
        self.criterion = AuthenticSmoothL1(mu)
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of one call of a head.

        Args:
            pred: Predicted box deltas.
            target: Target box deltas, of the same shape.
            weight: One per box (N,), one per coordinate, also flattened, or broadcastable to
                ``pred``; a factor of each element's loss.
            avg_factor: Divisor of the mean, instead of the number of elements.
            reduction_override: Overrides ``reduction`` for this call.

        Raises:
            ValueError: Shapes do not fit, or ``avg_factor`` comes with a sum.
        """
        check_choice('reduction_override', reduction_override, (None, *REDUCTIONS))
        reduction = reduction_override or self.reduction
        loss = self.criterion.evaluate(pred, box_target(pred, target)).loss
        weight = example_weight(pred, weight)
        if reduction == 'mean' and not loss.numel():
            # without boxes the loss is 0, as in mmdet, and not the NaN of an empty mean
            return loss.sum()
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)
