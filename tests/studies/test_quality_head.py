"""The head whose classification targets are IoUs, against MMDetection's losses on them."""

import pytest
import torch
from mmdet.models.losses import FocalLoss, QualityFocalLoss, VarifocalLoss
from mmdet.structures.bbox import bbox_overlaps

from studies.quality_head import QualityRetinaHead

CLASSES, ANCHORS, SIDE = 3, 9, 4
LEVEL = ANCHORS * SIDE * SIDE
POSITIVES, OUTSIDE = 20, 30  # the first anchors, and the last
LOSSES = [QualityFocalLoss, VarifocalLoss]


def _level():
    torch.manual_seed(0)
    corner = 40 * torch.rand(1, LEVEL, 2)
    labels = torch.full((1, LEVEL), CLASSES)
    labels[0, :POSITIVES] = torch.randint(0, CLASSES, (POSITIVES,))
    weights = torch.ones(1, LEVEL)
    weights[0, -OUTSIDE:] = 0
    return dict(
        cls_score=torch.randn(1, ANCHORS * CLASSES, SIDE, SIDE, requires_grad=True),
        bbox_pred=torch.randn(1, ANCHORS * 4, SIDE, SIDE, requires_grad=True),
        anchors=torch.cat([corner, corner + 10 + 20 * torch.rand(1, LEVEL, 2)], dim=-1),
        labels=labels,
        label_weights=weights,
        bbox_targets=torch.randn(1, LEVEL, 4),
        bbox_weights=(labels < CLASSES).float().unsqueeze(-1).expand(-1, -1, 4),
        avg_factor=float(POSITIVES),
    )


def _head(loss):
    settings = dict(type=loss.__name__, use_sigmoid=True)
    return QualityRetinaHead(CLASSES, in_channels=8, feat_channels=8, loss_cls=settings)


@pytest.mark.parametrize('loss', LOSSES)
def test_positives_are_trained_towards_the_iou_of_their_box(loss):
    head, level = _head(loss), _level()
    scores = level['cls_score'].permute(0, 2, 3, 1).reshape(-1, CLASSES)[:-OUTSIDE]
    deltas = level['bbox_pred'].permute(0, 2, 3, 1).reshape(-1, 4)
    boxes, truth = (
        head.bbox_coder.decode(level['anchors'][0], each)
        for each in (deltas, level['bbox_targets'][0])
    )
    targets = torch.zeros(LEVEL, CLASSES)
    for place, label in enumerate(level['labels'][0, :POSITIVES]):
        targets[place, label] = bbox_overlaps(boxes[[place]], truth[[place]]).item()
    found, _ = head.loss_by_feat_single(**level)
    torch.testing.assert_close(
        found, loss()(scores, targets[:-OUTSIDE], avg_factor=float(POSITIVES))
    )


@pytest.mark.parametrize('loss', LOSSES)
def test_classification_does_not_train_the_boxes_and_their_loss_is_retina_nets(loss):
    level = _level()
    cls, box = _head(loss).loss_by_feat_single(**level)
    assert torch.autograd.grad(cls, level['bbox_pred'], allow_unused=True) == (None,)
    _, expected = super(QualityRetinaHead, _head(FocalLoss)).loss_by_feat_single(**level)
    torch.testing.assert_close(box, expected)
