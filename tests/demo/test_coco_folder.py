"""Finding a user's annotations and images, laid out by hand or by a labelling tool."""

import json
import shlex
import sys

import pytest

from demo.coco_folder import CocoSplit, find_coco_folder
from ghm_mmdet.datasets.findings import DataError
from tools.split_coco import main as split_coco

SPLITS = ('train', 'val')
ROBOFLOW = '_annotations.coco.json'
CATEGORIES = [{'id': 3, 'name': 'cup'}, {'id': 9, 'name': 'plate'}]


def content_of(names, categories=CATEGORIES):
    """A COCO file of pictures with one object of each of the last two categories."""
    return {
        'images': [
            {'id': number, 'file_name': name, 'width': 8, 'height': 8}
            for number, name in enumerate(names, 1)
        ],
        'annotations': [
            {
                'id': 2 * number + place,
                'image_id': number,
                'category_id': each['id'],
                'bbox': [1, 1, 4, 4],
                'area': 16,
                'iscrowd': 0,
            }
            for number in range(1, len(names) + 1)
            for place, each in enumerate(categories[-2:])
        ],
        'categories': categories,
    }


def write(path, content, folder=None):
    """A file and, in a folder, its pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    for image in content['images'] if folder is not None else ():
        picture = folder / image['file_name']
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()


@pytest.fixture
def usual(tmp_path):
    """A data set of one image per split, in the folders of the splits."""
    for split in SPLITS:
        path = tmp_path / f'annotations/{split}.json'
        write(path, content_of([f'{split}.jpg']), tmp_path / split)
    return tmp_path


@pytest.mark.parametrize(
    ('names', 'folders'),
    [
        (('instances_train2017.json', 'instances_val2017.json'), ('train2017', 'val2017')),
        (('instances_train.json', 'instances_val.json'), ('images', 'images')),
        (('instances_train.json', 'instances_val.json'), ('images/train', 'images/val')),
        (('instances_Train.json', 'instances_Validation.json'), ('images/Train', 'images/val')),
        (('train.json', 'val.json'), ('train', 'val')),
        (('train.json', 'valid.json'), ('train', 'valid')),
        (('train.json', 'val.json'), ('', '')),
        (('train.json', 'val.json'), ('photos', 'images/all')),
    ],
)
def test_usual_layouts(tmp_path, names, folders):
    for split, name, folder in zip(SPLITS, names, folders):
        write(tmp_path / 'annotations' / name, content_of([f'{split}.jpg']), tmp_path / folder)
    found = find_coco_folder(tmp_path)
    assert found.classes == ('cup', 'plate')
    for split, name, folder in zip((found.train, found.val), names, folders):
        prefix = f'{folder}/' if folder else ''
        assert split == CocoSplit(f'annotations/{name}', prefix, 1)


@pytest.mark.parametrize('folder', ['', 'images'])
def test_what_roboflow_exports(tmp_path, folder):
    """A file beside the pictures; the root category has no objects and is no class."""
    categories = [{'id': 0, 'name': 'things', 'supercategory': 'none'}, *CATEGORIES]
    for split in ('train', 'valid', 'test'):
        content = content_of(['a.jpg', 'b.jpg'], categories)
        write(tmp_path / split / ROBOFLOW, content, tmp_path / split / folder)
    found = find_coco_folder(tmp_path)
    assert found.classes == ('cup', 'plate')
    for split, name in ((found.train, 'train'), (found.val, 'valid')):
        prefix = f'{name}/{folder}/' if folder else f'{name}/'
        assert split == CocoSplit(f'{name}/{ROBOFLOW}', prefix, 2)


EXPORTS = {
    'CVAT': ('annotations/instances_default.json', 'images/default', '{}.jpg'),
    'CVAT, older': ('annotations/instances_default.json', 'images', '{}.jpg'),
    'Label Studio': ('result.json', '', 'images/{}.jpg'),
    'Label Studio on Windows': ('result.json', '', 'images\\{}.jpg'),
    'Roboflow, not split': (f'train/{ROBOFLOW}', 'train', '{}.jpg'),
    'train and val in one': ('annotations/instances_trainval.json', 'trainval', '{}.jpg'),
    'train alone': ('annotations/instances_train.json', 'train', '{}.jpg'),
}


@pytest.mark.parametrize('export', EXPORTS)
def test_one_file_is_split_by_the_command_in_the_message(tmp_path, export):
    file, folder, template = EXPORTS[export]
    root = tmp_path / 'my data'
    names = [template.format(number) for number in range(20)]
    write(root / file, content_of(names))
    for name in names:
        picture = root / folder / name.replace('\\', '/')
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    with pytest.raises(DataError) as error:
        find_coco_folder(root)
    assert '\n' not in str(error.value)
    python, tool, *arguments = shlex.split(str(error.value).partition(' all pictures: ')[2])
    assert (python, tool) == (sys.executable, 'tools/split_coco.py')
    split_coco(arguments)
    found = find_coco_folder(root)
    assert (found.train.num_images, found.val.num_images) == (16, 2)
    assert found.train.images == found.val.images == (f'{folder}/' if folder else '')


def test_a_user_may_split_into_annotations(tmp_path):
    source = tmp_path / 'annotations/instances_default.json'
    write(source, content_of([f'{n}.jpg' for n in range(9)]), tmp_path / 'images')
    split_coco([str(source), str(tmp_path / 'annotations'), '--parts', '0.7', '0.3'])
    assert find_coco_folder(tmp_path).val.annotations == 'annotations/instances_val.json'


def test_several_files_that_could_be_split_are_named(tmp_path):
    for name in ('a.json', 'annotations/b.json'):
        write(tmp_path / name, content_of(['1.jpg']))
    with pytest.raises(DataError, match=r"FILE .*split, where FILE is one of \['a.json', 'annotat"):
        find_coco_folder(tmp_path)


@pytest.fixture
def edit(usual, edit_json):
    return lambda change: edit_json(usual / 'annotations/val.json', change)


def other_order(content):
    content['categories'].reverse()


def fewer(content):
    del content['categories'][0]
    content['annotations'] = [each for each in content['annotations'] if each['category_id'] == 9]


def more(content):
    content['categories'].insert(0, {'id': 20, 'name': 'fork'})
    content['annotations'][0]['category_id'] = 20


@pytest.mark.parametrize('change', [other_order, fewer, more])
def test_both_splits_have_the_same_classes_in_the_same_order(usual, edit, change):
    edit(change)
    with pytest.raises(DataError, match=r'val\.json: has the categories .* same order') as error:
        find_coco_folder(usual)
    assert '\n' not in str(error.value)


def test_ids_and_unused_categories_may_differ(usual, edit):
    def renumber(content):
        content['categories'] = [
            {'id': 5, 'name': 'unused'},
            {'id': 30, 'name': 'cup'},
            {'id': 90, 'name': 'plate'},
        ]
        for each in content['annotations']:
            each['category_id'] *= 10

    edit(renumber)
    assert find_coco_folder(usual).classes == ('cup', 'plate')


def test_a_class_in_one_split_alone_is_a_class(usual, edit):
    edit(lambda content: content['annotations'].pop())
    assert find_coco_folder(usual).classes == ('cup', 'plate')


def damage_json(root):
    (root / 'annotations/train.json').write_text('{"images": [')


def drop_categories(root):
    (root / 'annotations/val.json').write_text('{"images": [], "annotations": []}')


def drop_images(root):
    (root / 'val/val.jpg').unlink()


def drop_one_image(root):
    write(root / 'annotations/val.json', content_of(['val.jpg', 'train.jpg']))


def drop_objects(root):
    content = content_of(['val.jpg'])
    for each in content['annotations']:
        each['iscrowd'] = 1
    write(root / 'annotations/val.json', content)


def write_backslashes(root):
    write(root / 'annotations/val.json', content_of(['val\\val.jpg']))


def second_file(root):
    (root / 'annotations/train_old.json').write_text('{}')


def drop_file(root):
    (root / 'annotations/val.json').unlink()


def drop_all_files(root):
    for split in SPLITS:
        (root / f'annotations/{split}.json').unlink()


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (damage_json, 'not JSON'),
        (drop_categories, "'categories' is not there|at least one image"),
        (drop_images, "image 'val.jpg' of .* must be in one of val, val, images/val"),
        (drop_one_image, "1 of 2 images, such as 'train.jpg', are not in .*val, where"),
        (drop_objects, 'val.json: has no object among 2 annotations'),
        (write_backslashes, 'write / for backslashes'),
        (second_file, 'must be exactly one file'),
        (drop_file, 'has no annotation file for val'),
        (drop_all_files, 'has no annotation file for train, .* of that name, or in images/'),
    ],
)
def test_what_is_missing_is_named_in_one_line(usual, damage, message):
    damage(usual)
    with pytest.raises(DataError, match=message) as error:
        find_coco_folder(usual)
    assert str(usual) in str(error.value)
    assert '\n' not in str(error.value)
