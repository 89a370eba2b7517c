"""The demonstration on a few small pictures, of our own and of a user's folder."""

from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from ghm_mmdet.data.coco_folder import find_coco_folder
from ghm_mmdet.data.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.engine.demo import run_demo, use_coco_folder

CONFIG = Path(__file__).parents[2] / 'configs/sample/retinanet_r18_fpn_ghm_sample.py'


@pytest.fixture
def config():
    cfg = Config.fromfile(CONFIG)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.train_dataloader.batch_size = 4
    cfg.model.test_cfg.score_thr = 0.0
    return cfg


def check(result, out_dir):
    assert 0 <= result.mean_average_precision <= 1
    assert list(out_dir.glob('*.pth'))
    assert len(result.pictures) == 2
    for path in result.figures + result.pictures:
        assert cv2.imread(str(path)) is not None


def test_on_the_sample_data(tmp_path, config):
    data = tmp_path / 'data'
    make_sample_dataset(data, SampleSettings(train=8, val=4, size=96))
    for name in ('train', 'val'):
        config[f'{name}_dataloader'].dataset.data_root = f'{data}/'
    config.val_evaluator.ann_file = str(data / 'annotations/instances_val.json')
    check(run_demo(config, tmp_path / 'out', pictures=2), tmp_path / 'out')


def test_on_a_users_folder(tmp_path, config, coco_folder):
    use_coco_folder(config, find_coco_folder(coco_folder), iterations=15, val_images=4)
    assert config.model.bbox_head.num_classes == 3
    check(run_demo(config, tmp_path / 'out', pictures=2), tmp_path / 'out')
