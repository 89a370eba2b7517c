"""One density for the pyramid: the head against the losses on concatenated levels."""

import pytest
import torch
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import ghm_mmdet  # noqa: F401
from ghm_mmdet.losses import GHMCLoss, GHMRLoss

CLASSES = 4
SIZE = 64
STRIDES = [8, 16, 32]
GHM_C = dict(type='GHMCLoss', use_sigmoid=True, bins=30, momentum=0.75)
GHM_R = dict(type='GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0)


def build(kind, loss_cls, loss_bbox):
    torch.manual_seed(0)
    return MODELS.build(
        ConfigDict(
            type=kind,
            num_classes=CLASSES,
            in_channels=8,
            feat_channels=8,
            stacked_convs=1,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=4,
                scales_per_octave=1,
                ratios=[1.0],
                strides=STRIDES,
            ),
            loss_cls=loss_cls,
            loss_bbox=loss_bbox,
            train_cfg=dict(
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4),
                sampler=dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
            ),
        )
    )


def images(boxes):
    """Features of two images with the given boxes, and what a head is told of them."""
    generator = torch.Generator().manual_seed(1)
    features = [
        torch.randn(2, 8, SIZE // stride, SIZE // stride, generator=generator) * 30
        for stride in STRIDES
    ]
    instances = [
        InstanceData(bboxes=torch.tensor(b).reshape(-1, 4), labels=torch.arange(len(b)) % CLASSES)
        for b in boxes
    ]
    metas = [dict(img_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE))] * 2
    return features, instances, metas


BOXES = [
    [[2.0, 2.0, 34.0, 34.0], [10.0, 20.0, 62.0, 63.0], [0.0, 0.0, 64.0, 64.0]],
    [[30.0, 30.0, 61.0, 62.0]],
]
NO_BOXES = [[], []]


class Recorder(torch.nn.Module):
    """Stands in for a loss and keeps what the levels hand over."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, prediction, target, weight, avg_factor):
        self.calls.append((prediction, target, weight))
        return prediction.sum()

    def concatenated(self):
        return tuple(torch.cat(parts) for parts in zip(*self.calls))


@pytest.mark.parametrize('boxes', [BOXES, NO_BOXES], ids=['boxes', 'no boxes'])
def test_it_is_the_loss_of_all_levels_concatenated(boxes):
    features, instances, metas = images(boxes)
    head = build('GHMRetinaHead', GHM_C, GHM_R)
    plain = build('RetinaHead', GHM_C, GHM_R)
    plain.load_state_dict(head.state_dict())
    plain.loss_cls, plain.loss_bbox = Recorder(), Recorder()
    oracles = {
        'loss_cls': GHMCLoss(use_sigmoid=True, bins=30, momentum=0.75),
        'loss_bbox': GHMRLoss(mu=0.02, bins=10, momentum=0.7, loss_weight=10.0),
    }
    for _ in range(3):
        losses = head.loss_by_feat(*head(features), instances, metas)
        for recorder in (plain.loss_cls, plain.loss_bbox):
            recorder.calls.clear()
        plain.loss_by_feat(*plain(features), instances, metas)
        for name, oracle in oracles.items():
            expected = oracle(*getattr(plain, name).concatenated())
            torch.testing.assert_close(losses[name], expected)
            head.zero_grad()
            plain.zero_grad()
            losses[name].backward(retain_graph=True)
            expected.backward()
            for ours, theirs in zip(head.parameters(), plain.parameters()):
                torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-7)
    for name, oracle in oracles.items():
        torch.testing.assert_close(getattr(head, name).state_dict(), oracle.state_dict())


def test_other_losses_stay_as_in_mmdets_head():
    features, instances, metas = images(BOXES)
    others = dict(type='FocalLoss', use_sigmoid=True), dict(type='SmoothL1Loss')
    head, plain = build('GHMRetinaHead', *others), build('RetinaHead', *others)
    plain.load_state_dict(head.state_dict())
    ours = head.loss_by_feat(*head(features), instances, metas)
    theirs = plain.loss_by_feat(*plain(features), instances, metas)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        ((GHM_C, GHM_R), (dict(GHM_C, type='GHMC'), dict(GHM_R, type='GHMR'))),
    ],
)
def test_mmdets_head_with_the_losses_is_mmdets_ghm(ours, theirs):
    features, instances, metas = images(BOXES)
    head, oracle = build('RetinaHead', *ours), build('RetinaHead', *theirs)
    head.load_state_dict(oracle.state_dict())
    for _ in range(3):
        torch.testing.assert_close(
            head.loss_by_feat(*head(features), instances, metas),
            oracle.loss_by_feat(*oracle(features), instances, metas),
            rtol=1e-5,
            atol=0,
        )


def test_weights_are_those_of_mmdets_head():
    losses = dict(type='FocalLoss', use_sigmoid=True), dict(type='L1Loss')
    head, plain = build('GHMRetinaHead', *losses), build('RetinaHead', *losses)
    assert isinstance(head, RetinaHead)
    assert head.state_dict().keys() == plain.state_dict().keys()


def test_an_error_inside_leaves_the_losses_usable():
    head = build('GHMRetinaHead', GHM_C, GHM_R)
    features, _, metas = images(BOXES)
    with pytest.raises(AttributeError):
        head.loss_by_feat(*head(features), [None, None], metas)
    logits = torch.zeros(5, CLASSES)
    assert head.loss_cls(logits, torch.zeros(5, dtype=torch.int64)).dim() == 0
