"""The anchor head of MMDetection3D, on made-up boxes; with MMDetection3D installed."""

import importlib

import pytest
import torch
from mmdet.models.losses import GHMC
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from ghm_mmdet.cli.check_head import check_head
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.losses import GHMCLoss

HEAD = dict(
    type='Anchor3DHead',
    num_classes=1,
    in_channels=8,
    feat_channels=8,
    anchor_generator=dict(
        type='AlignedAnchor3DRangeGenerator',
        ranges=[[0, -8, -1.8, 16, 8, -1.8]],
        sizes=[[3.9, 1.6, 1.56]],
        rotations=[0, 1.57],
        reshape_out=True,
    ),
    diff_rad_by_sin=True,
    bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
    loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1 / 9, loss_weight=2.0),
    loss_dir=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=0.2),
    train_cfg=dict(
        assigner=dict(
            type='Max3DIoUAssigner',
            iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
            pos_iou_thr=0.6,
            neg_iou_thr=0.45,
            min_pos_iou=0.45,
            ignore_iof_thr=-1,
        ),
        allowed_border=0,
        pos_weight=-1,
    ),
)


@pytest.fixture(autouse=True)
def in_its_scope():
    pytest.importorskip('mmdet3d', reason='needs MMDetection3D')
    init_default_scope('mmdet3d')
    yield
    init_default_scope('mmdet')
    MODELS.register_module(name='GHMC', module=GHMC, force=True)


def head_with(kind: str) -> Config:
    loss = dict(type=kind, use_sigmoid=True, bins=10, momentum=0.5)
    return Config({**HEAD, 'loss_cls': loss})


def losses(kind: str) -> dict:
    """The losses of a head on two boxes."""
    from mmdet3d.structures import LiDARInstance3DBoxes

    torch.manual_seed(0)
    head = MODELS.build(head_with(kind))
    head.init_weights()
    boxes = torch.tensor([[4.0, 1, -1.8, 3.9, 1.6, 1.56, 0.1], [9, -3, -1.8, 3.9, 1.6, 1.56, 1.5]])
    sample = InstanceData(
        bboxes_3d=LiDARInstance3DBoxes(boxes), labels_3d=torch.zeros(2, dtype=torch.long)
    )
    outputs = head([torch.randn(1, 8, 16, 16)])
    return head.loss_by_feat(*outputs, [sample], [dict(box_type_3d=LiDARInstance3DBoxes)])


def test_a_name_that_the_head_does_not_know_is_refused():
    from mmdet3d.models.dense_heads import Anchor3DHead

    with pytest.raises(ConfigError, match=r'must be mmdet\.GHMC, and custom_imports must'):
        check_head('model.bbox_head', Anchor3DHead, head_with('mmdet.GHMCLoss'))


def test_by_the_known_name_the_losses_are_those_of_mmdet():
    expected = losses('mmdet.GHMC')
    drop_in = importlib.reload(importlib.import_module('ghm_mmdet.drop_in'))
    assert MODELS.get('GHMC') is drop_in.GHMC
    assert issubclass(drop_in.GHMC, GHMCLoss)
    torch.testing.assert_close(losses('mmdet.GHMC'), expected, rtol=1e-4, atol=1e-6)
