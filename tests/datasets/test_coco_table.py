"""An annotation file as columns, against MMDetection's own data set."""

import pytest
from mmdet.datasets import CocoDataset

from ghm_mmdet.datasets.check import DataReading
from ghm_mmdet.datasets.coco_file import read_coco_file
from ghm_mmdet.datasets.coco_table import CocoTable

VARIANTS = {
    'iscrowd': {'iscrowd': 1},
    'ignore': {'ignore': 1},
    'thin': {'bbox': [10, 10, 0.5, 20]},
    'area': {'area': 0},
    'outside': {'bbox': [64, 10, 20, 20]},
    None: {'bbox': [-10, -10, 20, 20]},
}
"""Changes to an annotation, by the reason for which it is left out."""
CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def path(coco_folder, edit_json):
    """A file with an annotation of each kind, and one of each of two reasons at once."""
    path = coco_folder / 'annotations' / 'instances_train.json'

    def change(content):
        for each, change in zip(content['annotations'], VARIANTS.values()):
            each.update(change)
        content['annotations'][6].update(iscrowd=1, area=0)
        content['images'][7].update(height=31)

    edit_json(path, change)
    return path


@pytest.mark.parametrize('classes', [CLASSES, ('RBC', 'WBC'), ('Platelets',)])
def test_objects_are_those_that_mmdet_trains_on(path, classes):
    table = CocoTable(read_coco_file(str(path)))
    dataset = CocoDataset(
        ann_file=str(path), metainfo={'classes': classes}, data_prefix={'img': ''}
    )
    kept = {
        info['img_id']
        for info in dataset
        if any(not instance['ignore_flag'] for instance in info['instances'])
    }
    # an image has one annotation
    rows = table.image[table.is_trained_on(classes)]
    assert {table.image_ids[row] for row in rows} == kept


def test_each_annotation_has_one_reason(path):
    left_out = CocoTable(read_coco_file(str(path))).left_out()
    reasons = [{key for key, mask in left_out.items() if mask[row]} for row in range(7)]
    assert reasons == [{key} - {None} for key in VARIANTS] + [{'iscrowd'}]


def test_file_without_annotations(path, edit_json):
    edit_json(path, lambda content: content['annotations'].clear())
    table = CocoTable(read_coco_file(str(path)))
    assert table.is_trained_on(CLASSES).shape == (0,)
    assert all(mask.shape == (0,) for mask in table.left_out().values())


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(filter_cfg=dict(filter_empty_gt=True)),
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=32)),
        dict(filter_cfg=dict(min_size=32), test_mode=True),
        dict(indices=3),
        dict(indices=-2),
        dict(indices=[5, 1]),
        dict(indices=2, filter_cfg=dict(filter_empty_gt=True, min_size=32)),
    ],
    ids=str,
)
@pytest.mark.parametrize('classes', [CLASSES, ('RBC', 'WBC')])
def test_pictures_are_those_that_mmdet_hands_out(path, coco_folder, classes, options):
    config = dict(
        ann_file=str(path),
        data_prefix=dict(img=str(coco_folder / 'images')),
        metainfo=dict(classes=classes),
        **options,
    )
    reading = DataReading(unused_categories=['Platelets'])
    split = reading.read_dataset(dict(type='mmdet.CocoDataset', **config), 'data', 'train')
    assert not reading.findings.errors
    oracle = [info['img_id'] for info in CocoDataset(**config)]
    assert [split.table.image_ids[row] for row in split.rows] == oracle
