"""Heads whose examples come in one call: ``WholePyramidHead`` leaves their losses as they are."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import ghm_mmdet  # noqa: F401

SIZE = 128
STRIDES = [8, 16, 32]
CHANNELS = 8
ANCHORS = dict(
    anchor_generator=dict(
        type='AnchorGenerator',
        ratios=[1.0],
        octave_base_scale=8,
        scales_per_octave=1,
        strides=STRIDES,
    ),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    loss_bbox=dict(type='GHMRLoss', mu='median'),
)
POINTS = dict(
    strides=STRIDES,
    regress_ranges=((-1, 64), (64, 128), (128, 1e8)),
    loss_cls=dict(type='GHMCLoss', use_sigmoid=True),
)
QUALITY = dict(ANCHORS, loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True))
# ATSS and GFL hand over plain zeros for levels without positives, FCOS joins the levels itself
HEADS = {'ATSSHead': ANCHORS, 'GFLHead': QUALITY, 'FCOSHead': POINTS}
BOXES = {
    'first level': [[10.0, 10.0, 20.0, 20.0]],
    'second level': [[5.0, 5.0, 125.0, 125.0]],
    'no level': [],
}


def build(name, **kind):
    torch.manual_seed(0)
    common = dict(num_classes=3, in_channels=CHANNELS, feat_channels=CHANNELS, stacked_convs=1)
    return MODELS.build(ConfigDict(**kind, **common, norm_cfg=None, **HEADS[name]))


def totals(head, boxes):
    """Each loss of one image with these boxes, summed over what the head returns of it."""
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.randn(1, CHANNELS, SIZE // stride, SIZE // stride, generator=generator)
        for stride in STRIDES
    ]
    labels = torch.ones(len(boxes), dtype=torch.int64)
    objects = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), labels=labels)
    meta = dict(img_shape=(SIZE, SIZE, 3), pad_shape=(SIZE, SIZE, 3))
    losses = head.loss_by_feat(*head(features), [objects], [meta])
    return {name: torch.stack(_listed(value)).sum() for name, value in losses.items()}


def _listed(loss):
    return loss if isinstance(loss, list) else [loss]


def gradients(head, boxes):
    sum(totals(head, boxes).values()).backward()
    return [parameter.grad for parameter in head.parameters()]


@pytest.mark.parametrize('boxes', BOXES.values(), ids=BOXES.keys())
@pytest.mark.parametrize('name', HEADS)
def test_losses_and_gradients_are_those_of_the_head_itself(name, boxes):
    head, plain = build(name, type='WholePyramidHead', head=name), build(name, type=name)
    torch.testing.assert_close(totals(head, boxes), totals(plain, boxes))
    torch.testing.assert_close(gradients(head, boxes), gradients(plain, boxes))
