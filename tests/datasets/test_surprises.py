"""Warnings: each on what it is about, with the right number, and on nothing else."""

import json
import re

import pytest

from ghm_mmdet.datasets.check import read_data
from tests.datasets.perfect import judged

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def path(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


@pytest.fixture
def findings(coco_folder):
    """What is found in a data set that is trained on, or judged by COCO's metric."""

    def find(loop='train', **options):
        file = str(coco_folder / 'annotations' / 'instances_train.json')
        dataset = dict(
            type='CocoDataset',
            ann_file=file,
            data_prefix=dict(img=str(coco_folder / 'images')),
            metainfo=dict(classes=CLASSES),
            **options,
        )
        cfg = {
            f'{loop}_dataloader': dict(dataset=dataset),
            f'{loop}_evaluator': dict(type='CocoMetric', ann_file=file),
        }
        return read_data(cfg, (loop,)).findings

    return find


def annotations(*rows, **values):
    """A change of some annotations."""
    return lambda content: [content['annotations'][row].update(values) for row in rows]


def crowded(content):
    first = content['annotations'][0]
    content['annotations'] += [
        {**first, 'id': 100 + number, 'bbox': [number / 10, 1, 20, 20]} for number in range(120)
    ]


def doubled(content):
    first, second = content['annotations'][:2]
    content['annotations'] += [{**first, 'id': 50}, {**second, 'id': 51, 'category_id': 1}]


def renamed(content):
    content['images'][3]['file_name'] = content['images'][2]['file_name']


def unused(content):
    for each in content['annotations']:
        each['category_id'] = min(each['category_id'], 2)


def emptied(content):
    del content['annotations'][4:]


TRAINED = {
    'nothing': (lambda content: None, {}, []),
    'crowds': (
        annotations(1, 4, iscrowd=1),
        {},
        ['2 of 8 annotations are not trained on: 2 with iscrowd=1, such as annotation 2'],
    ),
    'two reasons': (
        lambda content: [annotations(2, area=0)(content), annotations(3, iscrowd=1)(content)],
        {},
        ['2 of 8 annotations .*: 1 with iscrowd=1.*; 1 with an area of 0 or less, such as annot'],
    ),
    'fractions of the picture': (
        annotations(0, bbox=[0.1, 0.1, 0.4, 0.4]),
        {},
        ['1 of 8 .* 1 narrower or lower than 1 pixel, .* not fractions'],
    ),
    'corners in place of sizes': (
        annotations(5, bbox=[30, 20, 60, 45]),
        {},
        [r'1 of 8 boxes reach beyond .* annotation 6, \[30.0, .*\] in 64 x 48; .*\[x1, y1, x2'],
    ),
    'rounded beyond the edge': (annotations(5, bbox=[30, 20, 35, 29]), {}, []),
    'twice the same': (doubled, {}, ['1 of 10 annotations repeat another .* such as 50; ']),
    'a picture twice': (renamed, {}, ['1 of 7 pictures are listed more than once']),
    'a class without objects': (unused, {}, [r"no object of the classes \['Platelets'\]"]),
    'background pictures': (
        emptied,
        dict(filter_cfg=dict(filter_empty_gt=True)),
        ['4 of 8 pictures have no annotation .* by train_dataloader.dataset.filter_cfg.filter_emp'],
    ),
    'background pictures that are kept': (emptied, dict(filter_cfg=dict(min_size=4)), []),
    'small pictures': (
        lambda content: content['images'][0].update(height=47),
        dict(filter_cfg=dict(min_size=48)),
        ['1 of 8 pictures are not trained on, with 1 objects, such as 0.png: .*min_size=48'],
    ),
}


@pytest.mark.parametrize(('change', 'options', 'messages'), TRAINED.values(), ids=TRAINED)
def test_of_what_is_trained_on(path, edit_json, findings, change, options, messages):
    edit_json(path, change)
    found = findings(**options)
    assert found.errors == []
    _check(found.warnings, path, messages)


JUDGED = {
    'nothing': (lambda content: None, []),
    'crowds, which the metric leaves out too': (annotations(1, 4, iscrowd=1), []),
    'area 0': (
        annotations(2, 3, area=0),
        ['2 with an area of 0 or less, such as annotation 3 .*the metric counts them as missed'],
    ),
    'ignored': (annotations(6, ignore=1), ["1 with 'ignore' set, .* counts them as missed"]),
    'id 0': (annotations(0, id=0), ['an annotation has id 0, .* number annotations from 1']),
    'more objects than detections': (
        crowded,
        ['1 of 8 pictures have more than 100 objects, such as 0.png with 121;'],
    ),
}


@pytest.mark.parametrize(('change', 'messages'), JUDGED.values(), ids=JUDGED)
def test_of_what_is_judged(path, edit_json, findings, change, messages):
    edit_json(path, change)
    found = findings('val')
    assert found.errors == []
    _check(found.warnings, path, messages)


def _check(warnings, path, messages):
    assert len(warnings) == len(messages), warnings
    for warning, message in zip(warnings, messages):
        assert warning.startswith(f'{path}: ')
        assert re.search(message, warning), warning
        assert '\n' not in warning


@pytest.mark.parametrize('change', [annotations(0, id=0), annotations(0, 1, area=0)])
def test_the_metric_does_what_the_warnings_say(path, edit_json, change):
    """Perfect detections of all that is trained on are below 1, and 1 without the change."""
    assert judged(path, CLASSES) == pytest.approx(1)
    edit_json(path, change)
    small = {
        each['image_id']
        for each in json.loads(path.read_text())['annotations']
        if each['area'] == 0
    }
    assert judged(path, CLASSES, lambda image: image['id'] not in small) < 0.9
