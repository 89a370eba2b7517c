"""Finding a user's annotations and images."""

import json

import pytest

from ghm_mmdet.data.coco_folder import CocoSplit, find_coco_folder
from ghm_mmdet.data.findings import DataError


def write(root, annotations, images):
    """A data set of one image per split: annotation file names and image folders by split."""
    for split, name in annotations.items():
        content = {
            'images': [{'id': 1, 'file_name': f'{split}.jpg', 'width': 8, 'height': 8}],
            'annotations': [],
            'categories': [{'id': 3, 'name': 'cup'}, {'id': 9, 'name': 'plate'}],
        }
        (root / 'annotations').mkdir(exist_ok=True)
        (root / 'annotations' / name).write_text(json.dumps(content))
        if split in images:
            (root / images[split]).mkdir(parents=True, exist_ok=True)
            (root / images[split] / f'{split}.jpg').touch()


@pytest.mark.parametrize(
    ('names', 'folders'),
    [
        (('instances_train2017.json', 'instances_val2017.json'), ('train2017', 'val2017')),
        (('instances_train.json', 'instances_val.json'), ('images', 'images')),
        (('instances_train.json', 'instances_val.json'), ('images/train', 'images/val')),
        (('train.json', 'val.json'), ('train', 'val')),
        (('train.json', 'val.json'), ('', '')),
    ],
)
def test_usual_layouts(tmp_path, names, folders):
    write(tmp_path, *(dict(zip(('train', 'val'), part, strict=True)) for part in (names, folders)))
    found = find_coco_folder(tmp_path)
    assert found.classes == ('cup', 'plate')
    for split, name, folder in zip((found.train, found.val), names, folders, strict=True):
        prefix = f'{folder}/' if folder else ''
        assert split == CocoSplit(f'annotations/{name}', prefix, 1)


def damage_json(root):
    (root / 'annotations/train.json').write_text('{"images": [')


def drop_categories(root):
    (root / 'annotations/val.json').write_text('{"images": [], "annotations": []}')


def drop_images(root):
    (root / 'val/val.jpg').unlink()


def second_file(root):
    (root / 'annotations/train_old.json').write_text('{}')


def drop_file(root):
    (root / 'annotations/val.json').unlink()


@pytest.mark.parametrize(
    'damage', [damage_json, drop_categories, drop_images, second_file, drop_file]
)
def test_what_is_missing_is_named_in_one_line(tmp_path, damage):
    splits = {'train': 'train', 'val': 'val'}
    write(tmp_path, {split: f'{split}.json' for split in splits}, splits)
    damage(tmp_path)
    with pytest.raises(DataError) as error:
        find_coco_folder(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert '\n' not in str(error.value)
