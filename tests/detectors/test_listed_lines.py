"""The lines that a config lists are those that it changes, and are all that another one needs."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.losses.ghm_loss import GHMLoss
from tests.detectors.cases import CONFIGS, Case
from tests.detectors.listed_lines import differences, edited, listed

LISTING = [path for path in CONFIGS if path.parent.name == 'detectors']
OTHERS = {
    'atss': 'atss/atss_r101_fpn_1x_coco.py',
    'cascade-rcnn': 'cascade_rcnn/cascade-rcnn_r101_fpn_20e_coco.py',
    'deformable-detr': 'deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py',
    'faster-rcnn': 'faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
    'fcos': 'fcos/fcos_r50-caffe_fpn_gn-head-center_1x_coco.py',
    'fovea': 'foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py',
    'gfl': 'gfl/gfl_r101_fpn_ms-2x_coco.py',
    'paa': 'paa/paa_r101_fpn_1x_coco.py',
    'rpn': 'rpn/rpn_r101_fpn_2x_coco.py',
    'rtmdet': 'rtmdet/rtmdet_x_8xb32-300e_coco.py',
    'ssd300': 'ssd/ssd512_coco.py',
    'tood': 'tood/tood_r50_fpn_anchor-based_1x_coco.py',
    'vfnet': 'vfnet/vfnet_r101_fpn_1x_coco.py',
    'yolof': 'yolof/yolof_r50-c5_8xb8-iter-1x_coco.py',
    'yolox': 'yolox/yolox_tiny_8xb8-300e_coco.py',
}
"""A config of mmdet's for the same detector that ours do not inherit from; DDOD has but one."""


@pytest.mark.parametrize('path', LISTING, ids=lambda path: path.stem)
def test_the_comment_lists_what_is_changed(path):
    assert listed(path) == differences(path)


@pytest.mark.parametrize(
    'path',
    [path for path in LISTING if not path.stem.startswith('ddod')],
    ids=lambda each: each.stem,
)
def test_another_config_of_the_detector_needs_these_lines_alone(path, batch):
    case = Case(path)
    if case.detector == 'paa':
        pytest.importorskip('sklearn', reason='PAA needs scikit-learn to tell its positives')
    cfg = edited(get_config(f'mmdet::{OTHERS[case.detector]}'), path)
    check_config(cfg, ('train', 'val'))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(case.shrunk(cfg).model)
    model.init_weights()
    model.train()
    total, _ = model.parse_losses(model.loss(*batch([[8.0, 12.0, 60.0, 70.0]], [])))
    total.backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert gradients and all(each.isfinite().all() for each in gradients)
    losses = [each for each in model.modules() if isinstance(each, GHMLoss)]
    assert losses and all(loss.statistics.counts.sum() > 0 for loss in losses if loss.statistics)
    assert any(loss.statistics for loss in losses)
