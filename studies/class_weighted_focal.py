"""Focal loss with class weights, a rival where classes differ much in number.

docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.losses import FocalLoss
from mmdet.registry import MODELS
from torch import Tensor
from torch.nn.functional import one_hot


@MODELS.register_module()
class ClassWeightedFocalLoss(FocalLoss):
    """Focal loss in which a positive of class c counts w_c and every negative 1.

    That is where ``class_weight`` of :class:`ghm_mmdet.losses.GHMCLoss` puts the weights, too.

    Args:
        class_weight: w, one number per class.
        **settings: Of MMDetection's ``FocalLoss``.

    Shape:
        - pred: Logits (N, C).
        - target: Labels (N,) in [0, C] with C for background.
        - weight: (N,) or None.
        - output: 0-dim.
    """

    def __init__(self, class_weight: Sequence[float], **settings: object) -> None:
        super().__init__(**settings)
        self.class_weight = tuple(class_weight)

    def forward(
        self, pred: Tensor, target: Tensor, weight: Tensor | None = None, **arguments: object
    ) -> Tensor:
        is_object = one_hot(target, pred.size(1) + 1)[:, :-1]
        factor = 1 + (pred.new_tensor(self.class_weight) - 1) * is_object
        if weight is not None:
            factor = factor * weight.unsqueeze(1)
        return super().forward(pred, target, factor, **arguments)
