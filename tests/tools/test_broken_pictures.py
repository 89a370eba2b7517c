"""A picture that cannot be decoded does not end a training, a validation or a test."""

import json
import pickle

import pytest
import torch
from mmdet.evaluation import CocoMetric

BROKEN = 3
CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def config(small_config, many_pictures, tmp_path):
    def write(workers=0, extra=''):
        path = tmp_path / 'many.py'
        path.write_text(
            f"""
_base_ = {str(small_config)!r}
workers = dict(num_workers={workers}, persistent_workers={workers > 0}, batch_size=8)
train_dataloader = dict(**workers)
val_dataloader = dict(**workers)
test_dataloader = dict(**workers)
randomness = dict(seed=3)
{extra}
"""
        )
        return path

    return write


@pytest.fixture(params=['', 'hello'])
def broken(request, many_pictures):
    path = many_pictures / 'images' / f'{BROKEN}.png'
    path.write_text(request.param)
    return path


def succeeded(done):
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def logged_map(folder):
    (path,) = folder.glob('2*/2*.json')
    return json.loads(path.read_text())['coco/bbox_mAP']


def map_without(results, path):
    """mAP of dumped detections, those on the broken picture left out."""
    metric = CocoMetric(ann_file=str(path))
    metric.dataset_meta = dict(classes=CLASSES)
    for each in results:
        found = each['pred_instances']
        if each['img_id'] == BROKEN:
            found = {key: value[:0] for key, value in found.items()}
        metric.process({}, [dict(each, pred_instances=found)])
    return metric.evaluate(size=len(results))['coco/bbox_mAP']


@pytest.mark.long
@pytest.mark.parametrize('workers', [0, 2])
def test_train_validate_test_and_report(config, broken, run_tool, many_pictures, tmp_path, workers):
    path = config(workers)
    done = run_tool('train.py', path, '--work-dir', 'run')
    succeeded(done)
    printed = done.stdout + done.stderr
    assert printed.count(f'{broken}: cannot be decoded, is passed over') == 1
    assert printed.count(f'{broken}: cannot be decoded, counts as without detections') == 1

    checkpoint = tmp_path / 'run' / 'epoch_1.pth'
    arguments = ('--work-dir', 'test', '--out', 'found.pkl', '--show-dir', 'drawn')
    succeeded(run_tool('test.py', path, checkpoint, *arguments))
    results = pickle.loads((tmp_path / 'found.pkl').read_bytes())
    (own,) = [each for each in results if each['img_id'] == BROKEN]
    assert len(own['pred_instances']['scores']) == 0
    assert any(len(each['pred_instances']['scores']) for each in results)
    judge = many_pictures / 'annotations' / 'instances_test.json'
    assert logged_map(tmp_path / 'test') == pytest.approx(map_without(results, judge), abs=1e-3)

    done = run_tool('analyze_gradients.py', path, checkpoint, '--out', 'report', '--worst', '500')
    succeeded(done)
    assert f'{broken}: cannot be decoded, is left out' in done.stderr
    worst = json.loads((tmp_path / 'report' / 'worst_labels.json').read_text())
    assert BROKEN not in {each['image_id'] for each in worst['annotations']}
    assert len(worst['annotations']) == 119


@pytest.mark.long
def test_resume_is_exact_with_a_broken_picture(config, broken, run_tool, tmp_path):
    path = config(extra='train_cfg = dict(val_interval=5)')
    longer = ['--cfg-options', 'train_cfg.max_epochs=2']
    succeeded(run_tool('train.py', path, '--work-dir', 'whole', *longer))
    succeeded(run_tool('train.py', path, '--work-dir', 'cut'))
    succeeded(run_tool('train.py', path, '--work-dir', 'cut', '--resume', *longer))
    whole, cut = (
        torch.load(tmp_path / run / 'epoch_2.pth', weights_only=False)['state_dict']
        for run in ('whole', 'cut')
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
