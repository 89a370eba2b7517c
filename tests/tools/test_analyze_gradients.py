"""The report of real detectors on a small data set, through the tool."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from pycocotools.coco import COCO

from tests.detectors.cases import SMALL
from tools.analyze_gradients import main
from tools.loss_balance import main as balance

OTHERS = {
    'faster-rcnn': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'fcos': 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'tood': 'mmdet::tood/tood_r50_fpn_1x_coco.py',
    'deformable-detr': 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
}


@pytest.fixture
def other_config(small_config, tmp_path):
    """A config with MMDetection's own detector, shrunk, on the small config's data."""

    def make(detector):
        cfg = Config.fromfile(small_config)
        own = tmp_path / 'own.py'
        own.write_text(f'_base_ = {OTHERS[detector]!r}')
        model = Config.fromfile(own)
        model.merge_from_dict(dict(model=SMALL[detector]))
        cfg.model = model.model
        for part in [cfg.model.get('bbox_head', {}), cfg.model.get('roi_head', {})]:
            part = part.get('bbox_head', part)
            part['num_classes'] = 3
        path = tmp_path / f'{detector}.py'
        cfg.dump(path)
        return path

    return make


def analyze(config, path, out, *options):
    main([str(config), str(path), '--out', str(out), *options])


def test_report_of_a_ghm_detector(
    small_config, checkpoint, coco_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('tools.analyze_gradients.SHOWN', 3)
    out = tmp_path / 'report'
    path = checkpoint(small_config)
    capsys.readouterr()  # what the weights' initialization logs
    analyze(small_config, path, out, '--per-class', '--worst', '5')
    printed = capsys.readouterr()
    assert '2/2' in printed.err and 'ETA' in printed.err  # batches
    named = printed.out.splitlines()
    assert named[0] == str(out / 'report.html')
    assert all((tmp_path / line).is_file() for line in named)
    assert {path.stem for path in out.glob('*.svg')} == {
        'bbox_head_loss_cls',
        'bbox_head_loss_cls_levels',
        'bbox_head_loss_cls_classes',
        'bbox_head_loss_bbox',
        'bbox_head_loss_bbox_levels',
    }
    labels = COCO(str(out / 'worst_labels.json'))
    source = json.loads((coco_folder / 'annotations' / 'instances_train.json').read_text())
    source = {each['id']: each for each in source['annotations']}
    assert len(labels.anns) == 5
    assert 3 <= (out / 'report.html').read_text().count('data:image/jpeg') <= 4 * 3
    assert len(COCO(str(out / 'unseen.json')).anns) == 5
    for name in ('worst_labels', 'unannotated', 'badly_placed', 'unseen'):
        assert json.loads((out / f'{name}.json').read_text())['info'] == {'list': name}
    for each in labels.anns.values():
        assert each['category_id'] == source[each['id']]['category_id']
        assert each['bbox'] == pytest.approx(source[each['id']]['bbox'], abs=0.1)
        assert (coco_folder / 'images' / labels.imgs[each['image_id']]['file_name']).is_file()


class LoadArray(BaseTransform):
    """A loader of a user's own, for pictures that OpenCV does not read."""

    def transform(self, results):
        results['img'] = np.load(results['img_path'])
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


def test_pictures_that_only_the_datas_own_loader_reads(
    small_config, checkpoint, coco_folder, edit_json, tmp_path, monkeypatch
):
    def rename(content):
        for image in content['images']:
            image['file_name'] = image['file_name'].replace('.png', '.npy')

    for path in (coco_folder / 'images').glob('*.png'):
        np.save(path.with_suffix('.npy'), cv2.imread(str(path)))
        path.unlink()
    edit_json(coco_folder / 'annotations/instances_train.json', rename)
    monkeypatch.setitem(TRANSFORMS.module_dict, 'LoadArray', LoadArray)
    cfg = Config.fromfile(small_config)
    for name in ('train', 'test'):
        cfg[f'{name}_dataloader'].dataset.pipeline[0] = dict(type='LoadArray')
    config = tmp_path / 'arrays.py'
    cfg.dump(config)
    out = tmp_path / 'report'
    analyze(config, checkpoint(config), out, '--worst', '3')
    assert len(COCO(str(out / 'worst_labels.json')).anns) == 3
    assert (out / 'report.html').read_text().count('data:image/jpeg') >= 3


@pytest.mark.parametrize(
    ('detector', 'losses'),
    [
        ('faster-rcnn', {'rpn_head_loss_cls', 'rpn_head_loss_bbox', 'roi_head_bbox_head_loss_cls'}),
        ('fcos', {'bbox_head_loss_cls'}),
        ('tood', {'bbox_head_loss_cls'}),
        ('deformable-detr', {'bbox_head_loss_cls', 'bbox_head_loss_bbox'}),
    ],
)
def test_any_detector_whatever_loss_it_has(detector, losses, other_config, checkpoint, tmp_path):
    config = other_config(detector)
    out = tmp_path / 'report'
    analyze(config, checkpoint(config), out, '--images', '2', '--split', 'val')
    assert losses <= {path.stem for path in out.glob('*.csv')}
    assert (out / 'report.html').stat().st_size > 10_000


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--images', '0'], '--images 0: must be at least 1'),
        (['--worst', '-3'], '--worst -3: must be at least 1'),
        (['--mu', '0'], '--mu 0.0: must be above 0'),
        (['--cfg-options', 'train_dataloader=None'], '--split train: the config has val, test'),
        (
            ['--cfg-options', 'val_dataloader=None', 'test_dataloader=None'],
            'the config has no test_dataloader and no val_dataloader',
        ),
        (['--out', '.'], '--out .: not empty; name a folder that is new or empty'),
    ],
    ids=lambda each: ' '.join(each[:2]) if isinstance(each, list) else '',
)
def test_bad_arguments_get_one_line(options, message, small_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'x.pth'
    torch.save({}, path)
    with pytest.raises(SystemExit) as error:
        main([str(small_config), str(path), *options])
    assert message in str(error.value)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize('tool', [main, balance], ids=['analyze_gradients', 'loss_balance'])
def test_a_checkpoint_of_another_model_gets_one_line(tool, small_config, checkpoint, tmp_path):
    path, other = checkpoint(small_config), tmp_path / 'wider.py'
    other.write_text(
        f'_base_ = {str(small_config)!r}\nmodel = dict(backbone=dict(base_channels=4))'
    )
    with pytest.raises(SystemExit, match=r'weights fit the model of .*wider.py; ') as error:
        tool([str(other), str(path)])
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('tool', [main, balance], ids=['analyze_gradients', 'loss_balance'])
def test_an_argument_of_no_part_gets_one_line(tool, small_config, tmp_path):
    path = tmp_path / 'x.pth'
    torch.save({}, path)
    with pytest.raises(SystemExit, match=r'the model cannot be built: .*colour') as error:
        tool([str(small_config), str(path), '--cfg-options', 'model.colour=red'])
    assert '\n' not in str(error.value)
