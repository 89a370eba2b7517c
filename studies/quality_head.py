"""RetinaNet with quality focal loss or varifocal loss, rivals of GHM-C.

docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor
from torch.nn.functional import one_hot


@MODELS.register_module()
class QualityRetinaHead(RetinaHead):
    """RetinaNet's head, in which the target of a positive is the IoU of its predicted box.

    ``loss_cls`` gets the targets (N, C) of the anchors within the picture: MMDetection's
    ``QualityFocalLoss`` or ``VarifocalLoss``. The boxes' loss compares encoded boxes.
    """

    def loss_by_feat_single(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        anchors: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        avg_factor: float,
    ) -> tuple[Tensor, Tensor]:
        """The losses of a level; arguments as in MMDetection's method."""
        scores = _by_anchor(cls_score, self.cls_out_channels)
        deltas = _by_anchor(bbox_pred, 4)
        targets, weights = bbox_targets.reshape(-1, 4), bbox_weights.reshape(-1, 4)
        counted, labels = label_weights.reshape(-1) > 0, labels.reshape(-1)
        with torch.no_grad():
            places = anchors.reshape(-1, 4)
            boxes = (self.bbox_coder.decode(places, each) for each in (deltas, targets))
            quality = bbox_overlaps(*boxes, is_aligned=True)
        target = one_hot(labels, self.cls_out_channels + 1)[:, :-1] * quality.unsqueeze(1)
        loss_cls = self.loss_cls(scores[counted], target[counted], avg_factor=avg_factor)
        return loss_cls, self.loss_bbox(deltas, targets, weights, avg_factor=avg_factor)


def _by_anchor(prediction: Tensor, channels: int) -> Tensor:
    """A level's prediction (B, A * channels, H, W) as (B * H * W * A, channels), in float32."""
    return prediction.permute(0, 2, 3, 1).reshape(-1, channels).float()
