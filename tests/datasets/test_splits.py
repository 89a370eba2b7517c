"""Data sets of one config beside each other."""

import json
import shutil

import pytest

from ghm_mmdet.datasets.check import read_data
from tests.datasets.perfect import judged

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def dataset(coco_folder):
    """Config of a data set by its file's name, which has pictures of its own."""

    def make(name, classes=CLASSES):
        folder = coco_folder / f'images_{name}'
        if not folder.exists():
            shutil.copytree(coco_folder / 'images', folder)
        return dict(
            type='CocoDataset',
            ann_file=str(coco_folder / 'annotations' / f'instances_{name}.json'),
            data_prefix=dict(img=str(folder)),
            metainfo=dict(classes=classes),
        )

    return make


def found(train, val):
    cfg = dict(
        train_dataloader=dict(dataset=train),
        val_dataloader=dict(dataset=val),
        val_evaluator=dict(type='CocoMetric', ann_file=val['ann_file']),
    )
    return read_data(cfg, ('train', 'val')).findings


def test_splits_that_fit(dataset):
    findings = found(dataset('train'), dataset('val'))
    assert (findings.errors, findings.warnings) == ([], [])


@pytest.mark.parametrize('joined', [False, True])
def test_another_order_of_the_classes(dataset, coco_folder, edit_json, joined):
    path = coco_folder / 'annotations' / 'instances_val.json'
    edit_json(path, lambda content: content['categories'].reverse())
    first, second = dataset('train'), dataset('val', CLASSES[::-1])
    if joined:
        both = dict(type='ConcatDataset', datasets=[first, second])
        findings = read_data(dict(train_dataloader=dict(dataset=both)), ('train',)).findings
    else:
        findings = found(first, second)
    (error,) = findings.errors
    assert "label 0 is 'Platelets', and 'RBC' in train_dataloader.dataset" in error
    assert "sort the list 'categories' of" in error
    # the metric takes the labels of training for others
    assert judged(path, CLASSES[::-1]) == pytest.approx(1)
    assert judged(path, CLASSES) < 0.5


def test_a_class_by_another_name(dataset, coco_folder, edit_json):
    path = coco_folder / 'annotations' / 'instances_val.json'
    edit_json(path, lambda content: content['categories'][0].update(name='erythrocyte'))
    findings = found(dataset('train'), dataset('val', ('erythrocyte', 'WBC', 'Platelets')))
    assert findings.errors == []
    assert "label 0 is 'erythrocyte', and 'RBC' in" in findings.warnings[0]


def test_pictures_of_two_splits(dataset, coco_folder, edit_json):
    train, val = dataset('train'), dataset('val')
    val['data_prefix'] = train['data_prefix']
    for name, rows in (('train', slice(6)), ('val', slice(4, 8))):
        path = coco_folder / 'annotations' / f'instances_{name}.json'
        content = json.loads(path.read_text())
        for part in ('images', 'annotations'):
            content[part] = content[part][rows]
        path.write_text(json.dumps(content))
    (warning,) = found(train, val).warnings
    assert '2 of 4 pictures, such as 4.png, are in ' in warning
    assert warning.startswith(f'{val["ann_file"]}: ')
