"""Checks of the data that a config names."""

import pytest
from mmengine.config import Config

from ghm_mmdet.cli.check_config import LOOP_PARTS
from ghm_mmdet.cli.check_data import check_data
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.datasets.findings import DataError


@pytest.fixture
def cfg(small_config):
    return Config.fromfile(small_config)


def test_good_data(cfg):
    check_data(cfg, ('train', 'val', 'test'))


def test_validation_may_be_left_out(cfg):
    for part in LOOP_PARTS['val']:
        cfg[part] = None
    check_data(cfg, ('train', 'val'))


def test_head_with_another_number_of_classes(cfg):
    cfg.model.bbox_head.num_classes = 80
    with pytest.raises(ConfigError, match=r'model.bbox_head.num_classes=80: must be 3, the number'):
        check_data(cfg, ('train',))


@pytest.mark.parametrize('loop', ['train', 'val', 'test'])
def test_data_of_each_loop_is_checked_through_wrappers(cfg, loop):
    loader = cfg[f'{loop}_dataloader']
    loader.dataset.ann_file = 'none.json'
    loader.dataset = dict(type='RepeatDataset', times=2, dataset=loader.dataset)
    with pytest.raises(DataError, match=r'none.json: no such annotation file'):
        check_data(cfg, (loop,))


@pytest.mark.parametrize('several', [False, True])
def test_metric_of_another_folder(cfg, several):
    cfg.val_evaluator.ann_file = 'elsewhere.json'
    cfg.val_evaluator = [cfg.val_evaluator] if several else cfg.val_evaluator
    with pytest.raises(DataError, match=r'elsewhere.json: no such annotation file'):
        check_data(cfg, ('val',))


def test_categories_left_out_on_purpose(cfg):
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.metainfo.classes': ('RBC', 'WBC'),
            'model.bbox_head.num_classes': 2,
        }
    )
    with pytest.raises(DataError, match='unused_categories'):
        check_data(cfg, ('train',))
    cfg.unused_categories = ['Platelets']
    check_data(cfg, ('train',))


def test_predicting_needs_no_boxes(cfg, coco_folder, edit_json):
    path = coco_folder / 'annotations' / 'instances_test.json'
    edit_json(path, lambda content: content['annotations'].clear())
    with pytest.raises(DataError, match='no box'):
        check_data(cfg, ('test',))
    cfg.test_evaluator.format_only = True
    check_data(cfg, ('test',))
