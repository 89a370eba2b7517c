"""PAA's head with a separate loss for the choice of positives."""

from __future__ import annotations

from mmdet.models.dense_heads import PAAHead
from mmdet.registry import MODELS
from torch import Tensor

FOCAL_LOSS = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25)


@MODELS.register_module()
class GHMPAAHead(PAAHead):
    """PAA's head that scores its candidates with another loss than it trains with.

    PAA selects positives by fitting two Gaussians to the candidates' losses, classification and box
    together. Harmonized losses of a few candidates are large and uneven, because the weight of a
    region depends on how many other examples it holds, and the fit fails on them in float32.

    Args:
        *args: The head's own arguments.
        loss_score: The loss to score candidates with; by default PAA's focal loss.
        **kwargs: The head's own arguments. Its weights keep their names.
    """

    def __init__(self, *args: object, loss_score: dict = FOCAL_LOSS, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.loss_score = MODELS.build(loss_score)

    def get_pos_loss(self, *args: object, **kwargs: object) -> tuple[Tensor]:
        """Score of each candidate of one image, shape (number of candidates,)."""
        training_loss = self.loss_cls
        self.loss_cls = self.loss_score
        try:
            return super().get_pos_loss(*args, **kwargs)
        finally:
            self.loss_cls = training_loss
