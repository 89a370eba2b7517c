"""The configs for MMRotate, on made-up rotated boxes; with MMRotate installed."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.structures import InstanceData

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.heads.whole_pyramid import WholePyramidDensity
from ghm_mmdet.losses import GHMCLoss

CONFIGS = sorted((Path(__file__).parents[2] / 'configs' / 'mmrotate').glob('*.py'))
SIZE, STEPS = 128, 6


@pytest.fixture(autouse=True)
def in_its_scope():
    pytest.importorskip('mmrotate', reason='needs MMRotate')
    init_default_scope('mmrotate')
    yield
    init_default_scope('mmdet')


def load(path: Path) -> Config:
    """A config without pretrained weights, for one process on a CPU."""
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    for part in (cfg.model.backbone, cfg.model.get('neck', {}), cfg.model.bbox_head):
        if part.get('norm_cfg', {}).get('type') == 'SyncBN':
            part.norm_cfg.type = 'BN'
    if cfg.model.bbox_head.loss_bbox.type == 'RotatedIoULoss':
        # mmcv has its operators for CUDA alone
        cfg.model.bbox_head.loss_bbox = dict(type='GDLoss', loss_type='gwd')
    return cfg


def rotated_boxes():
    """Images and their samples: two boxes on one, none on the other."""
    from mmrotate.structures import RotatedBoxes

    boxes = torch.tensor([[40.0, 50, 60, 30, 0.3], [90, 80, 40, 20, -0.7]])
    samples = []
    for some in (boxes, boxes[:0]):
        sample = DetDataSample(
            metainfo=dict(
                img_shape=(SIZE, SIZE), batch_input_shape=(SIZE, SIZE), pad_shape=(SIZE, SIZE)
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=RotatedBoxes(some), labels=torch.arange(len(some))
        )
        sample.ignored_instances = InstanceData(bboxes=RotatedBoxes(boxes[:0]))
        samples.append(sample)
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)), samples


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_trains_on_rotated_boxes(path):
    cfg = load(path)
    assert DefaultScope.get_current_instance().scope_name == 'mmrotate'
    check_config(cfg, ('train',))
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    assert isinstance(model.bbox_head.loss_cls, GHMCLoss)
    assert isinstance(model.bbox_head, WholePyramidDensity) == ('head' in cfg.model.bbox_head)
    images, samples = rotated_boxes()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    totals = []
    for _ in range(STEPS):
        losses = model.loss(images, samples)
        total = sum(torch.as_tensor(sum(v) if isinstance(v, list) else v) for v in losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < totals[0]
    assert model.bbox_head.loss_cls.density.moving_average.any()
