"""Configs by class, by name and by scope: every check and every change is the same."""

import logging

import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.evaluation import CocoMetric
from mmdet.models import RetinaHead
from mmdet.registry import HOOKS, MODELS
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import init_default_scope

from ghm_mmdet.cli.check_config import check_config, check_machine
from ghm_mmdet.cli.config import ConfigError, set_amp, set_reliable_hooks
from ghm_mmdet.config_types import config_class, is_a
from ghm_mmdet.datasets.check import read_data
from ghm_mmdet.hooks import (
    AtomicCheckpointHook,
    BrokenPictureHook,
    ExactResumeHook,
    HarmonizedLossHook,
)
from ghm_mmdet.losses import GHMCLoss
from gradient_report.annotated_data import annotated_loader
from tests.pure_config import write_pure

WAYS = {
    'name': lambda kind, scope: kind.__name__,
    'scope': lambda kind, scope: f'{scope}.{kind.__name__}',
    'class': lambda kind, scope: kind,
}


@pytest.fixture(params=WAYS)
def named(request):
    """A class as a config may have it."""
    return WAYS[request.param]


class OwnCheckpointHook(CheckpointHook):
    """A user's own."""


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


def test_the_class_behind_a_type(named):
    assert config_class(named(GHMCLoss, 'mmdet'), MODELS) is GHMCLoss
    assert config_class(named(CheckpointHook, 'mmengine'), HOOKS) is CheckpointHook
    assert is_a(dict(type=named(AtomicCheckpointHook, 'mmengine')), HOOKS, CheckpointHook)
    assert not is_a(dict(type=named(CheckpointHook, 'mmengine')), HOOKS, AtomicCheckpointHook)


@pytest.mark.parametrize('config', [None, {}, dict(type=None), dict(type='NoSuchThing'), 'Hook'])
def test_what_is_of_no_class(config):
    assert not is_a(config, HOOKS, CheckpointHook)


def test_the_checkpoint_hook_is_replaced(cfg, named):
    cfg.default_hooks.checkpoint.type = named(CheckpointHook, 'mmengine')
    del cfg.default_hooks.harmonized_loss
    cfg.default_hooks.exact_resume.type = named(ExactResumeHook, 'mmengine')
    cfg.custom_hooks = [dict(type=named(BrokenPictureHook, 'mmengine'))]
    del cfg.default_hooks.broken_picture
    set_reliable_hooks(cfg)
    assert config_class(cfg.default_hooks.checkpoint.type, HOOKS) is AtomicCheckpointHook
    assert config_class(cfg.default_hooks.exact_resume.type, HOOKS) is ExactResumeHook
    kinds = [config_class(hook.type, HOOKS) for hook in cfg.custom_hooks]
    assert kinds == [BrokenPictureHook, HarmonizedLossHook]


def test_a_checkpoint_hook_of_ones_own_stays_with_a_word(cfg, monkeypatch):
    said = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: said.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    cfg.default_hooks.checkpoint.type = OwnCheckpointHook
    set_reliable_hooks(cfg)
    MMLogger.get_current_instance().removeHandler(handler)
    assert cfg.default_hooks.checkpoint.type is OwnCheckpointHook
    assert len(said) == 1 and 'derive it from AtomicCheckpointHook' in said[0]


def test_mixed_precision(cfg, named, monkeypatch):
    cfg.optim_wrapper.type = named(OptimWrapper, 'mmengine')
    set_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg.optim_wrapper.type = named(AmpOptimWrapper, 'mmengine')
    with pytest.raises(ConfigError, match='needs a GPU'):
        check_machine(cfg)


def test_boxes_of_a_report_are_those_of_the_file(cfg, named, coco_folder):
    init_default_scope('mmdet')
    for part in ('train', 'val', 'test'):
        for step in cfg[f'{part}_dataloader'].dataset.pipeline:
            if step.type == 'LoadAnnotations':
                step.type = named(LoadAnnotations, 'mmdet')
    loader = annotated_loader(cfg, 'train')
    for batch in loader:
        for sample in batch['data_samples']:
            scale = torch.tensor(sample.scale_factor).repeat(2)
            (box,) = (sample.gt_instances.bboxes.tensor / scale).round().tolist()
            info = loader.dataset.get_data_info(sample.img_id)
            assert box == info['instances'][0]['bbox']


def test_data_sets_and_metrics_are_read(coco_folder, named):
    path = coco_folder / 'annotations' / 'instances_train.json'
    dataset = dict(
        type=named(CocoDataset, 'mmdet'),
        ann_file=str(path),
        data_prefix=dict(img=str(coco_folder / 'images')),
        metainfo=dict(classes=('RBC', 'WBC', 'Platelets')),
        pipeline=[dict(type=named(LoadImageFromFile, 'mmcv'))],
    )
    metric = dict(type=named(CocoMetric, 'mmdet'), ann_file='none.json')
    cfg = dict(val_dataloader=dict(dataset=dataset), val_evaluator=metric)
    reading = read_data(cfg, ('val',))
    assert reading.splits[0].turns
    assert 'none.json: no such annotation file' in reading.findings.errors[0]


HEAD = dict(num_classes=3, in_channels=8, feat_channels=8, stacked_convs=1)
GHM_C = dict(type='GHMCLoss', use_sigmoid=True)


def test_head_of_a_whole_pyramid(named):
    head = named(RetinaHead, 'mmdet')
    built = MODELS.build(dict(type='WholePyramidHead', head=head, loss_cls=GHM_C, **HEAD))
    assert type(built).__name__ == 'WholePyramidRetinaHead'


def test_a_loss_over_another_names_the_remedy(cfg):
    cfg.model.bbox_head.loss_cls = dict(GHM_C, gamma=2.0, alpha=0.25)
    with pytest.raises(ConfigError, match=r"'alpha'.*; .* _delete_=True in model.bbox_head"):
        check_config(cfg, ('train',))


def test_a_pure_config_passes_the_same_checks(cfg, tmp_path):
    pure = Config.fromfile(write_pure(cfg, tmp_path))
    assert not isinstance(pure.model.type, str)
    check_config(pure, ('train', 'val', 'test'))
    pure.model.bbox_head.loss_cls.pop('use_sigmoid')
    with pytest.raises(ConfigError, match='use_sigmoid is missing'):
        check_config(pure, ('train',))
