"""Reading annotation files: what is in them, and what a broken one gets."""

import numpy as np
import pytest
from pycocotools.coco import COCO

from ghm_mmdet.data.coco_file import DataError, read_coco_file


@pytest.fixture
def path(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


@pytest.mark.parametrize(
    'name',
    ['tiny_coco/annotations/instances_train2017.json', 'bccd/annotations/instances_val.json'],
)
def test_holds_what_pycocotools_reads(data_folder, name):
    folder, _, rest = name.partition('/')
    path = str(data_folder(folder) / rest)
    file, oracle = read_coco_file(path), COCO(path)
    assert file.images == oracle.imgs
    assert {entry['id']: entry for entry in file.annotations} == oracle.anns
    assert list(file.categories.items()) == [(c['name'], i) for i, c in oracle.cats.items()]


def test_trainable_boxes_are_those_that_mmdet_keeps(path, edit_json):
    from mmdet.datasets import CocoDataset

    variants = {
        2: {'bbox': [10, 10, 0.5, 20]},
        3: {'bbox': [64, 10, 20, 20]},
        4: {'iscrowd': 1},
        5: {'area': 0},
        6: {'ignore': 1},
        7: {'bbox': [-10, -10, 20, 20]},
    }
    edit_json(
        path, lambda content: [content['annotations'][i].update(v) for i, v in variants.items()]
    )
    file = read_coco_file(str(path))
    dataset = CocoDataset(
        ann_file=str(path), metainfo={'classes': ('RBC', 'WBC')}, data_prefix={'img': ''}
    )
    kept = {
        info['img_id']
        for info in dataset
        if any(not instance['ignore_flag'] for instance in info['instances'])
    }
    mask = file.trainable(file.categories[name] for name in ('RBC', 'WBC'))
    assert {
        entry['image_id'] for entry, keep in zip(file.annotations, mask, strict=True) if keep
    } == kept
    assert not np.all(mask)


def test_file_without_annotations_has_no_trainable_boxes(path, edit_json):
    edit_json(path, lambda content: content['annotations'].clear())
    assert read_coco_file(str(path)).trainable([1, 2, 3]).shape == (0,)


def first(part, **values):
    return lambda content: content[part][0].update(values)


BROKEN = {
    'no categories': (lambda content: content.pop('categories'), "'categories' is not there"),
    'annotations are a dict': (
        lambda content: content.update(annotations={}),
        "'annotations' is not there",
    ),
    'image without a name': (
        lambda content: content['images'][3].pop('file_name'),
        r"images\[3\] has no 'file_name'",
    ),
    'image without a size': (first('images', width=None), 'image 0 has width=None; must be'),
    'image of no height': (first('images', height=0), 'image 0 has height=0; must be'),
    'image with a number for a name': (first('images', file_name=7), 'image 0 has file_name=7'),
    'two images of one id': (first('images', id=1), r'images\[1\] repeats id=1'),
    'box is no annotation': (
        lambda content: content['annotations'].insert(2, [0, 0, 1, 1]),
        r"annotations\[2\] has no 'id'",
    ),
    'annotation without a box': (
        lambda content: content['annotations'][0].pop('bbox'),
        r"annotations\[0\] has no 'bbox'",
    ),
    'annotation without an area': (
        lambda content: content['annotations'][0].pop('area'),
        r"annotations\[0\] has no 'area'",
    ),
    'two annotations of one id': (first('annotations', id=7), r'annotations\[7\] repeats id=7'),
    'annotation of an unknown image': (first('annotations', image_id=99), 'has image_id=99'),
    'annotation of an unknown category': (first('annotations', category_id=9), 'has category_id=9'),
    'category id is a list': (first('annotations', category_id=[1]), r'has category_id=\[1\]'),
    'id is a list': (first('annotations', id=[1]), r'has id=\[1\]'),
    'NaN in a box': (first('annotations', bbox=[0, 0, float('nan'), 1]), 'bbox=.*must be finite'),
    'infinite box': (first('annotations', bbox=[0, 0, float('inf'), 1]), 'bbox=.*must be finite'),
    'negative width': (first('annotations', bbox=[9, 9, -4, 4]), 'not negative'),
    'box of three numbers': (first('annotations', bbox=[0, 0, 4]), 'must be finite numbers'),
    'box of text': (first('annotations', bbox=['0', '0', '4', '4']), 'must be finite numbers'),
    'box is null': (first('annotations', bbox=None), 'must be finite numbers'),
    'NaN area': (first('annotations', area=float('nan')), 'area=nan; must be finite'),
    'category without a name': (
        lambda content: content['categories'][1].pop('name'),
        r"categories\[1\] has no 'name'",
    ),
    'two categories of one name': (first('categories', name='WBC'), "name='WBC'; must be"),
}


@pytest.mark.parametrize(('change', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_in_one_line_that_names_it(path, edit_json, change, message):
    edit_json(path, change)
    with pytest.raises(DataError, match=message) as error:
        read_coco_file(str(path))
    assert str(error.value).startswith(f'{path}: ')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'[]', "not an annotation file in COCO format.*'images' is not there"),
        (b'', 'not JSON: .* at line 1, column 1'),
        (b'{"images": [}', 'not JSON: .* at line 1, column 13'),
        (b'{"images": "\xff\xfe\xfa"}', 'not JSON: byte .* is not UTF-8'),
        (b'[' * 100_000, 'nested too deep'),
    ],
)
def test_file_that_is_not_coco_json(path, text, message):
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_coco_file(str(path))


@pytest.mark.parametrize('name', ['missing.json', ''])
def test_missing_file(coco_folder, name):
    with pytest.raises(DataError, match='no such annotation file'):
        read_coco_file(str(coco_folder / name))
