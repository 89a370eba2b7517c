"""The demonstration on a few small pictures, of our own and of a user's folder."""

import importlib
import json
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from demo.coco_folder import find_coco_folder
from demo.sample import SampleSettings, make_sample_dataset
from demo.training import run_demo, use_coco_folder

CONFIG = Path(__file__).parents[2] / 'configs/sample/retinanet_r18_fpn_ghm_sample.py'


@pytest.fixture
def config():
    cfg = Config.fromfile(CONFIG)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.train_dataloader.batch_size = 4
    cfg.model.test_cfg.score_thr = 0.0
    return cfg


@pytest.fixture
def tool():
    """demo/__main__.py, as a module."""
    return importlib.import_module('demo.__main__')


def check(result, out_dir):
    assert not result.found_nothing
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


def test_a_placeholder_category_is_no_class(tmp_path, config, coco_folder, edit_json):
    for split in ('train', 'val'):
        edit_json(
            coco_folder / f'annotations/instances_{split}.json',
            lambda content: content['categories'].insert(0, {'id': 0, 'name': 'cells'}),
        )
    use_coco_folder(config, find_coco_folder(coco_folder), iterations=15, val_images=4)
    assert config.model.bbox_head.num_classes == 3
    result = run_demo(config, tmp_path / 'out', pictures=2)
    check(result, tmp_path / 'out')


def test_the_tool_says_that_nothing_was_detected(tmp_path, tool, coco_folder, monkeypatch, capsys):
    """After a warm-up of so few iterations no score reaches the threshold."""
    monkeypatch.setattr(tool, 'ITERATIONS', 15)
    arguments = ['demo.py', '--data', str(coco_folder), '--out', str(tmp_path / 'out')]
    monkeypatch.setattr('sys.argv', arguments)
    tool.main()
    *files, last = capsys.readouterr().out.splitlines()[-9:]
    assert last == 'COCO mAP        0.000 on the validation images, where nothing was detected'
    assert all(Path(line.split()[-1]).exists() for line in files)


def test_the_tool_ends_in_one_line(tmp_path, tool, monkeypatch):
    (tmp_path / 'result.json').write_text(json.dumps({}))
    monkeypatch.setattr('sys.argv', ['demo.py', '--data', str(tmp_path)])
    with pytest.raises(SystemExit, match=r'split_coco\.py') as error:
        tool.main()
    assert '\n' not in str(error.value)
