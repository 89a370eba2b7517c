"""Online hard example mining: the paper's baseline between cross entropy and focal loss."""

from __future__ import annotations

from fractions import Fraction

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ghm_mmdet.losses.ghm_loss import REDUCTIONS
from ghm_mmdet.method.arguments import check_choice, check_interval
from ghm_mmdet.method.call_forms import example_weight


@MODELS.register_module()
class OHEMLoss(nn.Module):
    """An element-wise loss in which only the hardest anchors count.

    Source: Shrivastava, Gupta, Girshick, *Training Region-based Object Detectors with Online Hard
        Example Mining*, CVPR 2016; its ratio of negatives is that of Liu et al., *SSD*, ECCV 2016.
    An anchor's hardness is the sum of its elements' losses.

    Args:
        loss: Config of a registered loss that takes ``reduction_override='none'``, such as
            ``dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)``.
        negatives_per_positive: Keep all positives and this many of the hardest negatives per
            positive, in [0, 1e6]; without positives, as many negatives as for one.
        reduction: 'none', 'mean' or 'sum'.
        use_sigmoid: That of the wrapped loss. Write it out for MMDetection's heads, which read
            it from the config of their loss and build softmax outputs without it.

    Shape:
        - pred: (N, C) logits.
        - target: Labels (N,).
        - output: 0-dim, or with reduction 'none' the wrapped loss's shape, 0 where not kept.
    """

    def __init__(
        self,
        loss: dict,
        negatives_per_positive: float,
        reduction: str = 'mean',
        use_sigmoid: bool | None = None,
    ) -> None:
        super().__init__()
        check_interval('negatives_per_positive', negatives_per_positive, '[0, 1e6]')
        check_choice('reduction', reduction, REDUCTIONS)
        self.loss = MODELS.build(loss)
        self.negatives_per_positive = negatives_per_positive
        self.reduction = reduction
        # heads choose their number of channels and their activation by it
        self.use_sigmoid = getattr(self.loss, 'use_sigmoid', False)
        check_choice('use_sigmoid', use_sigmoid, (None, self.use_sigmoid))

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        **kwargs: object,
    ) -> Tensor:
        """Loss of one call of a head.

        Args:
            pred: See the class.
            target: See the class.
            weight: A factor of the wrapped loss, one per anchor (N,), one per element, also
                flattened, or broadcastable to it; anchors of weight 0 are not kept.
            avg_factor: Divisor of the mean, instead of the number of kept anchors.
            reduction_override: Overrides ``reduction`` for this call.
            **kwargs: For the wrapped loss.
        """
        check_choice('reduction_override', reduction_override, (None, *REDUCTIONS))
        reduction = reduction_override or self.reduction
        losses = self.loss(pred, target, weight, reduction_override='none', **kwargs)
        with torch.no_grad():
            by_anchor = losses.flatten(1) if losses.dim() > 1 else losses.unsqueeze(1)
            weight = example_weight(by_anchor, weight)
            kept = self._kept(by_anchor.sum(1), pred, target, weight)
        losses = losses.where(kept.view(-1, *[1] * (losses.dim() - 1)), 0)
        if reduction == 'none':
            return losses
        if reduction == 'mean':
            return losses.sum() / (kept.sum().clamp(min=1) if avg_factor is None else avg_factor)
        return losses.sum()

    def _kept(
        self, hardness: Tensor, pred: Tensor, target: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Which anchors count, bool, shape (N,)."""
        valid = torch.ones_like(hardness, dtype=torch.bool)
        if weight is not None:
            valid = (weight > 0).any(1).expand_as(valid)
        classes = pred.size(1) if self.use_sigmoid else pred.size(1) - 1
        is_object = valid & (target >= 0) & (target < classes)
        count = _share(self.negatives_per_positive, is_object.sum().clamp(min=1))
        return is_object | _hardest(hardness, valid & ~is_object, count)


def _share(ratio: float, count: Tensor) -> Tensor:
    """The ratio of a count, rounded up; int64, 0-dim."""
    # 0.55 of 100 is 55: take the fraction 55/100, not the float a little above it
    meant = Fraction(ratio).limit_denominator(1_000_000)
    return -(-meant.numerator * count // meant.denominator)


def _hardest(hardness: Tensor, candidates: Tensor, count: Tensor) -> Tensor:
    """The ``count`` hardest candidates, or all of them if there are fewer; bool, shape (N,)."""
    order = hardness.where(candidates, -1).argsort(descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    return candidates & (rank < count)
