"""SSD's head with configured losses, against mmdet's head where that does no mining."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import ghm_mmdet  # noqa: F401

CLASSES = 3
SIZE = 64
CHANNELS = (8, 8, 8)
STRIDES = [8, 16, 32]
BOXES = ([[2.0, 2.0, 34.0, 34.0], [10.0, 20.0, 62.0, 63.0]], [[30.0, 30.0, 61.0, 62.0]])
NONE = ([], [])
CE = dict(type='CrossEntropyLoss', use_sigmoid=False)
SMOOTH_L1 = dict(type='SmoothL1Loss', beta=1.0)
GHM_C = dict(type='GHMCLoss', use_sigmoid=False, bins=30, momentum=0.75)
GHM_R = dict(type='GHMRLoss', mu=0.2, bins=10, momentum=0.7)


def build(kind='GHMSSDHead', neg_pos_ratio=3, **losses):
    torch.manual_seed(0)
    head = MODELS.build(
        ConfigDict(
            type=kind,
            num_classes=CLASSES,
            in_channels=CHANNELS,
            anchor_generator=dict(
                type='SSDAnchorGenerator',
                scale_major=False,
                strides=STRIDES,
                ratios=[[2], [2, 3], [2]],
                min_sizes=[12, 24, 48],
                max_sizes=[24, 48, 60],
            ),
            train_cfg=dict(
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5),
                sampler=dict(type='PseudoSampler'),
                smoothl1_beta=1.0,
                allowed_border=-1,
                pos_weight=-1,
                neg_pos_ratio=neg_pos_ratio,
            ),
            **losses,
        )
    )
    head.init_weights()
    return head


def losses(head, boxes):
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.randn(2, channels, SIZE // stride, SIZE // stride, generator=generator)
        for channels, stride in zip(CHANNELS, STRIDES)
    ]
    instances = [
        InstanceData(bboxes=torch.tensor(b).reshape(-1, 4), labels=torch.arange(len(b)) % CLASSES)
        for b in boxes
    ]
    metas = [dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE))] * 2
    return head.loss_by_feat(*head(features), instances, metas)


@pytest.mark.parametrize('decoded', [False, True])
def test_with_the_losses_of_ssd_it_is_mmdets_head_with_every_negative(decoded):
    head = build(loss_cls=CE, loss_bbox=SMOOTH_L1, reg_decoded_bbox=decoded)
    plain = build('SSDHead', neg_pos_ratio=10**6, reg_decoded_bbox=decoded)
    plain.load_state_dict(head.state_dict())
    ours, theirs = losses(head, BOXES), losses(plain, BOXES)
    assert ours.keys() == theirs.keys()
    for name, loss in ours.items():
        torch.testing.assert_close(loss, sum(theirs[name]).reshape(()))


def test_each_loss_is_called_once_with_every_anchor():
    head = build(loss_cls=GHM_C, loss_bbox=GHM_R)
    losses(head, BOXES)
    per_cell = head.num_base_priors
    anchors = sum(n * (SIZE // stride) ** 2 for n, stride in zip(per_cell, STRIDES))
    assert head.loss_cls.statistics.counts.sum() == 2 * anchors
    assert 0 < head.loss_bbox.statistics.counts.sum() < 4 * 2 * anchors


@pytest.mark.parametrize('boxes', [NONE, (BOXES[0], [])], ids=['no image', 'one image'])
def test_images_without_objects_train_on_background(boxes):
    head = build(loss_cls=GHM_C, loss_bbox=GHM_R)
    for _ in range(3):
        head.zero_grad()
        found = losses(head, boxes)
        sum(found.values()).backward()
        assert all(loss.isfinite() for loss in found.values())
        assert all(p.grad.isfinite().all() for p in head.parameters())
        assert any(p.grad.any() for p in head.cls_convs.parameters())
    assert bool(found['loss_bbox'] > 0) == any(map(len, boxes))


def test_training_from_large_outputs_stays_finite():
    """Outputs as large as those of the reported NaN, on images with and without objects."""
    head = build(loss_cls=GHM_C, loss_bbox=dict(GHM_R, loss_weight=10.0))
    with torch.no_grad():
        for p in head.parameters():
            p *= 100
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    for step in range(12):
        optimizer.zero_grad()
        total = sum(losses(head, (BOXES, NONE)[step % 2]).values())
        total.backward()
        assert total.isfinite()
        optimizer.step()
    assert all(p.isfinite().all() for p in head.parameters())


def test_sigmoid_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r'loss_cls.use_sigmoid=True: must be False') as error:
        build(loss_cls=dict(GHM_C, use_sigmoid=True), loss_bbox=GHM_R)
    assert '\n' not in str(error.value)
