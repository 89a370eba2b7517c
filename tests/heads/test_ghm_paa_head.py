"""PAA scores its candidates as it does with focal loss, whatever it trains with."""

import pytest
import torch
from mmdet.registry import MODELS

import ghm_mmdet  # noqa: F401

CLASSES = 3
FOCAL = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)
GHM = dict(type='GHMCLoss', use_sigmoid=True, bins=10, momentum=0.5)


def build(kind, **losses):
    return MODELS.build(
        dict(
            type=kind,
            num_classes=CLASSES,
            in_channels=32,
            feat_channels=32,
            stacked_convs=1,
            reg_decoded_bbox=True,
            anchor_generator=dict(
                type='AnchorGenerator',
                ratios=[1.0],
                octave_base_scale=8,
                scales_per_octave=1,
                strides=[8],
            ),
            loss_bbox=dict(type='GIoULoss', loss_weight=1.3),
            train_cfg=dict(
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.1, neg_iou_thr=0.1),
            ),
            **losses,
        )
    )


@pytest.fixture
def candidates():
    """Two of six anchors are candidates."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(6, 2, generator=generator) * 50
    boxes = torch.cat([corners, corners + 30], dim=1)
    return dict(
        anchors=[boxes],
        cls_score=torch.randn(6, CLASSES, generator=generator),
        bbox_pred=torch.randn(6, 4, generator=generator) / 10,
        label=torch.tensor([3, 0, 3, 2, 3, 3]),
        label_weight=torch.ones(6),
        bbox_target=boxes + 3,
        bbox_weight=torch.ones(6, 4),
        pos_inds=torch.tensor([1, 3]),
    )


@pytest.mark.parametrize('score', [FOCAL, dict(FOCAL, alpha=0.5)], ids=['default', 'chosen'])
def test_scores_are_those_of_the_other_loss(candidates, score):
    chosen = {} if score is FOCAL else dict(loss_score=score)
    head = build('GHMPAAHead', loss_cls=GHM, **chosen)
    plain = build('PAAHead', loss_cls=score)
    training_loss = head.loss_cls
    ours, theirs = head.get_pos_loss(**candidates), plain.get_pos_loss(**candidates)
    torch.testing.assert_close(ours, theirs)
    assert head.loss_cls is training_loss
    assert not training_loss.density.moving_average.any()


def test_weights_are_those_of_mmdets_head():
    head, plain = build('GHMPAAHead', loss_cls=FOCAL), build('PAAHead', loss_cls=FOCAL)
    assert head.state_dict().keys() == plain.state_dict().keys()


def test_an_error_inside_leaves_the_training_loss_in_place(candidates):
    head = build('GHMPAAHead', loss_cls=GHM)
    training_loss = head.loss_cls
    with pytest.raises(TypeError):
        head.get_pos_loss(**dict(candidates, anchors=[None]))
    assert head.loss_cls is training_loss
