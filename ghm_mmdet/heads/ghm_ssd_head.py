"""SSD's head with the losses of its config."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class GHMSSDHead(SSDHead):
    """SSD's head without its built-in cross entropy, 3:1 mining and smooth L1.

    Every anchor counts: harmonizing replaces mining. Each loss is called once, with
    the anchors of all levels and images, so that a density is over the whole mini-batch. The
    weights are those of mmdet's ``SSDHead``; ``train_cfg`` needs neither ``neg_pos_ratio`` nor
    ``smoothl1_beta``.

    Args:
        loss_cls: Config of a softmax classification loss, which gets logits (N, C + 1) and labels.
        loss_bbox: Config of a box loss.
        **kwargs: The arguments of mmdet's ``SSDHead``.

    Raises:
        ValueError: ``loss_cls`` is a sigmoid loss; the head predicts by softmax.
    """

    def __init__(self, *, loss_cls: dict, loss_bbox: dict, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if loss_cls.get('use_sigmoid', False):
            raise ValueError(
                f'loss_cls.use_sigmoid={loss_cls["use_sigmoid"]!r}: must be False, SSD predicts '
                'by softmax'
            )
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            cls_scores: Logits per level, (B, anchors * (C + 1), H, W).
            bbox_preds: Box deltas per level, (B, anchors * 4, H, W).
            batch_gt_instances: Boxes and labels of each image; an image may have none.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Boxes to be ignored of each image.
        """
        sizes = [level.shape[-2:] for level in cls_scores]
        anchors, valid_flags = self.get_anchors(sizes, batch_img_metas, cls_scores[0].device)
        *targets, avg_factor = self.get_targets(
            anchors,
            valid_flags,
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore=batch_gt_instances_ignore,
        )
        labels, label_weights, bbox_targets, bbox_weights = (
            torch.cat(levels, dim=1).flatten(0, 1) for levels in targets
        )
        boxes = _flatten(bbox_preds, 4)
        if self.reg_decoded_bbox:
            boxes = self.bbox_coder.decode(
                torch.cat([torch.cat(image) for image in anchors]), boxes
            )
        return dict(
            loss_cls=self.loss_cls(
                _flatten(cls_scores, self.cls_out_channels),
                labels,
                label_weights,
                avg_factor=avg_factor,
            ),
            loss_bbox=self.loss_bbox(boxes, bbox_targets, bbox_weights, avg_factor=avg_factor),
        )


def _flatten(levels: list[Tensor], channels: int) -> Tensor:
    """Maps of all levels, (B, A * channels, H, W), as (B * anchors of all levels, channels)."""
    flat = [level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels]
    return torch.cat(flat, dim=1).flatten(0, 1)
