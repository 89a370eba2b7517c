"""Checks of a config, and of the data that it names."""

import pytest
from mmengine.config import Config

from ghm_mmdet.data.coco_file import DataError
from ghm_mmdet.engine import check_config as checks
from ghm_mmdet.engine.config import ConfigError

HEAD = 'model.bbox_head'


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


def test_good_config(cfg):
    checks.check_config(cfg, ('train', 'val', 'test'))
    checks.check_machine(cfg)
    checks.check_data(cfg, ('train', 'val', 'test'))


def test_validation_may_be_left_out(cfg):
    for part in checks.LOOP_PARTS['val']:
        cfg[part] = None
    checks.check_config(cfg, ('train', 'val'))
    checks.check_data(cfg, ('train', 'val'))


BROKEN = {
    'no model': (dict(model=None), 'the config has no model'),
    'no training data': (dict(train_dataloader=None), 'no train_dataloader; needed: train_data'),
    'half of a validation': (dict(val_evaluator=None), 'no val_evaluator; needed: val_dataloader'),
    'loss misspelt': (
        {f'{HEAD}.loss_cls.type': 'GHMCLos'},
        r"loss_cls.type='GHMCLos': must be a registered model; did you mean 'GHMCLoss'\?",
    ),
    'head misspelt': (
        {f'{HEAD}.type': 'RetinaHed'},
        r"bbox_head.type='RetinaHed': .* did you mean 'RetinaHead'\?",
    ),
    'no bins': ({f'{HEAD}.loss_cls.bins': 0}, 'model.bbox_head.loss_cls: bins=0: must be'),
    'momentum of one': ({f'{HEAD}.loss_bbox.momentum': 1.0}, r'loss_bbox: momentum=1.0: .*\[0, 1'),
    'unknown argument': ({f'{HEAD}.loss_cls.binz': 3}, "loss_cls: .*unexpected.*'binz'"),
    'softmax': ({f'{HEAD}.loss_cls.use_sigmoid': False}, 'use_sigmoid=False: must be True'),
}


@pytest.mark.parametrize(('options', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_config_is_refused_in_one_line(cfg, options, message):
    cfg.merge_from_dict(options)
    with pytest.raises(ConfigError, match=message) as error:
        checks.check_config(cfg, ('train', 'val'))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('wrap', [lambda head: head, lambda head: [dict(type='X', parts=(head,))]])
def test_loss_without_use_sigmoid_is_found_anywhere_in_the_model(cfg, wrap):
    head = cfg.model.bbox_head
    del head.loss_cls['use_sigmoid']
    cfg.model = dict(type='RetinaNet', parts=wrap(head))
    with pytest.raises(ConfigError, match=r'loss_cls: use_sigmoid is missing; .*use_sigmoid=True'):
        checks.check_config(cfg, ('train',))


def test_type_of_another_package_is_left_to_the_build(cfg):
    cfg.model.backbone.type = 'mmpretrain.ConvNeXt'
    checks.check_config(cfg, ('train',))


def test_mixed_precision_needs_a_gpu(cfg, monkeypatch):
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    monkeypatch.setattr(checks, 'has_accelerator', lambda: False)
    with pytest.raises(ConfigError, match=r'--amp.*needs a GPU'):
        checks.check_machine(cfg)
    monkeypatch.setattr(checks, 'has_accelerator', lambda: True)
    checks.check_machine(cfg)


def test_weights_that_need_torchvision(cfg, monkeypatch):
    weights = dict(type='Pretrained', checkpoint='torchvision://resnet18')
    cfg.model.backbone.init_cfg = weights
    monkeypatch.setattr(checks.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match=r'needs torchvision.*model.backbone.init_cfg=None'):
        checks.check_machine(cfg)


def test_head_with_another_number_of_classes(cfg):
    cfg.model.bbox_head.num_classes = 80
    with pytest.raises(ConfigError, match=r'model.bbox_head.num_classes=80: must be 3, the number'):
        checks.check_data(cfg, ('train',))


@pytest.mark.parametrize('loop', ['train', 'val', 'test'])
def test_data_of_each_loop_is_checked_through_wrappers(cfg, loop):
    loader = cfg[f'{loop}_dataloader']
    loader.dataset.ann_file = 'none.json'
    loader.dataset = dict(type='RepeatDataset', times=2, dataset=loader.dataset)
    with pytest.raises(DataError, match=r'none.json: no such annotation file'):
        checks.check_data(cfg, (loop,))


@pytest.mark.parametrize('several', [False, True])
def test_metric_of_another_folder(cfg, several):
    cfg.val_evaluator.ann_file = 'elsewhere.json'
    cfg.val_evaluator = [cfg.val_evaluator] if several else cfg.val_evaluator
    with pytest.raises(DataError, match=r'elsewhere.json: no such annotation file'):
        checks.check_data(cfg, ('val',))


def test_categories_left_out_on_purpose(cfg):
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.metainfo.classes': ('RBC', 'WBC'),
            'model.bbox_head.num_classes': 2,
        }
    )
    with pytest.raises(DataError, match='unused_categories'):
        checks.check_data(cfg, ('train',))
    cfg.unused_categories = ['Platelets']
    checks.check_data(cfg, ('train',))


def test_predicting_needs_no_boxes(cfg, coco_folder, edit_json):
    path = coco_folder / 'annotations' / 'instances_test.json'
    edit_json(path, lambda content: content['annotations'].clear())
    with pytest.raises(DataError, match='no box'):
        checks.check_data(cfg, ('test',))
    cfg.test_evaluator.format_only = True
    checks.check_data(cfg, ('test',))
