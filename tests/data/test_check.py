"""Checks of data sets as configs define them: what passes, and what a broken one gets."""

import copy
import shutil

import pytest
from mmdet.datasets import CocoDataset

from ghm_mmdet.data import check
from ghm_mmdet.data.check import check_dataset, check_evaluator, leaf_datasets
from ghm_mmdet.data.findings import DataError

NAME = 'train_dataloader.dataset'
CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def dataset(coco_folder):
    return dict(
        type='CocoDataset',
        data_root=str(coco_folder),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=CLASSES),
    )


@pytest.fixture
def annotations(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


def test_good_dataset(dataset, annotations):
    checked = check_dataset(dataset, NAME)
    assert checked.classes == CLASSES
    assert checked.ann_file == str(annotations)
    assert checked.image_ids == set(range(8))


@pytest.mark.parametrize(
    'paths',
    [
        dict(data_root='{root}/', ann_file='annotations/instances_train.json'),
        dict(data_root='{root}', ann_file='{root}/annotations/instances_train.json'),
        dict(data_root='', ann_file='{root}/annotations/instances_train.json'),
        dict(data_root=None, ann_file='{root}/annotations/instances_train.json'),
    ],
)
@pytest.mark.parametrize('folder', ['images', '{root}/images'])
def test_paths_are_joined_as_mmengine_joins_them(dataset, coco_folder, paths, folder, monkeypatch):
    monkeypatch.chdir(coco_folder)
    for key, path in paths.items():
        dataset[key] = path and path.format(root=coco_folder)
    dataset['data_prefix'] = dict(img=folder.format(root=coco_folder))
    arguments = {key: value for key, value in dataset.items() if key != 'type'}
    oracle = CocoDataset(**arguments, lazy_init=True)
    assert check_dataset(dataset, NAME).ann_file == oracle.ann_file


@pytest.mark.parametrize(
    ('prefix', 'name', 'elsewhere'),
    [
        ('images', '0.png', False),
        ('./', 'images/0.png', False),
        ('images', '../images/0.png', False),
        ('images', '../annotations/0.png', True),
        ('images', '{root}/images/0.png', False),
        ('images', '{root}/0.png', True),
    ],
)
def test_images_elsewhere_are_a_warning(
    dataset, annotations, coco_folder, edit_json, monkeypatch, prefix, name, elsewhere
):
    monkeypatch.chdir(coco_folder)
    warnings = []
    monkeypatch.setattr(check, 'print_log', lambda text, *_: warnings.append(text))
    dataset.update(data_root='', ann_file=str(annotations), data_prefix=dict(img=prefix))
    name = name.format(root=coco_folder)
    path = coco_folder / prefix / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        shutil.copy(coco_folder / 'images' / '1.png', path)

    def keep_one(content):
        content['images'] = [{**content['images'][0], 'file_name': name}]
        content['annotations'] = content['annotations'][:1]

    edit_json(annotations, keep_one)
    check_dataset(dataset, NAME)
    assert len(warnings) == elsewhere


def test_images_in_folders_of_their_own(dataset, annotations, coco_folder, edit_json):
    (coco_folder / 'images' / 'left').mkdir()
    shutil.move(coco_folder / 'images' / '0.png', coco_folder / 'images' / 'left')
    edit_json(annotations, lambda content: content['images'][0].update(file_name='left/0.png'))
    assert check_dataset(dataset, NAME)


def test_coco_itself(data_folder):
    dataset = dict(
        type='CocoDataset',
        data_root=str(data_folder('tiny_coco')),
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    )
    assert len(check_dataset(dataset, NAME).classes) == 80


def config(**values):
    return lambda dataset, content, folder: dataset.update(values)


def content(change):
    return lambda dataset, content, folder: change(content)


def two_categories(content):
    content['categories'].pop()
    content['annotations'] = [a for a in content['annotations'] if a['category_id'] < 3]


BROKEN = {
    'no annotation file': (config(ann_file='none.json'), 'none.json: no such annotation file'),
    'annotation file not given': (config(ann_file=''), "ann_file='': must be one path"),
    'two annotation files': (config(ann_file=['a', 'b']), 'several need a ConcatDataset'),
    'no boxes': (
        content(lambda content: content['annotations'].clear()),
        'no box to learn from among 0 annotations',
    ),
    'only crowds': (
        content(lambda content: [a.update(iscrowd=1) for a in content['annotations']]),
        'no box to learn from among 8 annotations',
    ),
    'no class': (config(metainfo=dict(classes=())), r'classes=\(\): must be a list'),
    'class without a comma': (
        config(metainfo=dict(classes='RBC')),
        r"metainfo.classes='RBC': must be a list.*\('name',\)",
    ),
    'class twice': (
        config(metainfo=dict(classes=('RBC', 'RBC'))),
        'must be a list of different names',
    ),
    'metainfo is a tuple': (config(metainfo=CLASSES), 'metainfo=.*must be a dict'),
    'classes left to COCO': (
        config(metainfo=None),
        r"not have: \['person', .*\] and 75 more.*not list: \['RBC', 'WBC', 'Platelets'\]",
    ),
    'category not listed': (
        config(metainfo=dict(classes=CLASSES[:2])),
        r"boxes that the config does not list: \['Platelets'\]; list the file's",
    ),
    'class not in the file': (
        content(two_categories),
        r"metainfo.classes: classes that the file does not have: \['Platelets'\]; list",
    ),
    'other order': (
        config(metainfo=dict(classes=('WBC', 'RBC', 'Platelets'))),
        r"must be in the order of .*: \['RBC', 'WBC', 'Platelets'\]",
    ),
    'no such image folder': (
        config(data_prefix=dict(img='pictures/')),
        'data_prefix.img: no such folder: .*pictures',
    ),
    'no image prefix': (config(data_prefix=dict(img_path='')), 'data_prefix.img=None: must be one'),
    'images are missing': (
        lambda dataset, content, folder: [
            (folder / 'images' / f'{index}.png').unlink() for index in (2, 5)
        ],
        '2 of 8 images are missing; the first is .*2.png',
    ),
    'image folder is a file': (
        config(data_prefix=dict(img='images/0.png')),
        'data_prefix.img: no such folder: .*0.png',
    ),
    'images in a folder that is not there': (
        content(lambda content: content['images'][0].update(file_name='left/0.png')),
        '1 of 8 images are missing; the first is .*left/0.png',
    ),
    'unknown kind of data set': (config(type='CocoDatasett'), 'must be the name of a registered'),
}


@pytest.mark.parametrize(('change', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_dataset_is_refused_in_one_line(
    dataset, annotations, coco_folder, edit_json, change, message
):
    edit_json(annotations, lambda content: change(dataset, content, coco_folder))
    with pytest.raises(DataError, match=message) as error:
        check_dataset(dataset, NAME)
    assert '\n' not in str(error.value)


def test_category_may_be_left_out_on_purpose(dataset):
    dataset['metainfo'] = dict(classes=('RBC', 'WBC'))
    assert check_dataset(dataset, NAME, unused_categories=['Platelets']).classes == ('RBC', 'WBC')


def test_category_without_boxes_need_not_be_listed(dataset, annotations, edit_json):
    edit_json(annotations, lambda content: content['categories'].append(dict(id=9, name='none')))
    assert check_dataset(dataset, NAME)


def test_data_to_predict_on_needs_no_boxes(dataset, annotations, edit_json):
    edit_json(annotations, lambda content: content['annotations'].clear())
    assert check_dataset(dataset, NAME, boxes=False)


@pytest.mark.parametrize(
    'change',
    [
        dict(type='VOCDataset'),
        dict(data_root='s3://bucket/coco/'),
        dict(backend_args=dict(backend='petrel')),
    ],
)
def test_what_cannot_be_read_here_is_left_to_the_data_set(dataset, change):
    assert check_dataset(dataset | change, NAME) is None


def test_wrappers_are_taken_off():
    leaves = [dict(type='CocoDataset', ann_file=name) for name in 'abc']
    wrapped = dict(
        type='ConcatDataset',
        datasets=[
            leaves[0],
            dict(type='RepeatDataset', times=2, dataset=leaves[1]),
            dict(
                type='MultiImageMixDataset',
                dataset=dict(type='ClassBalancedDataset', dataset=leaves[2]),
            ),
        ],
    )
    assert list(leaf_datasets(wrapped, NAME)) == [
        (f'{NAME}.datasets[0]', leaves[0]),
        (f'{NAME}.datasets[1].dataset', leaves[1]),
        (f'{NAME}.datasets[2].dataset.dataset', leaves[2]),
    ]


@pytest.fixture
def judged(dataset):
    return check_dataset(dataset, 'val_dataloader.dataset')


@pytest.mark.parametrize('split', ['train', 'val'])
def test_metric_on_the_same_images(judged, coco_folder, split):
    path = str(coco_folder / 'annotations' / f'instances_{split}.json')
    check_evaluator(dict(type='CocoMetric', ann_file=path), 'val_evaluator', [judged])


@pytest.mark.parametrize('kind', ['LVISMetric', 'VOCMetric'])
def test_metric_with_a_format_of_its_own(judged, kind):
    check_evaluator(dict(type=kind, ann_file='none.json'), 'val_evaluator', [judged])


def test_metric_without_a_file_of_its_own(judged):
    check_evaluator(dict(type='CocoMetric'), 'val_evaluator', [judged])


def rename_category(content):
    content['categories'][0]['name'] = 'cell'


def reverse_categories(content):
    content['categories'].reverse()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda content: content.update(images=content['images'][:6], annotations=[]),
            'val_evaluator.ann_file=.*: lacks 2 images of .*, such as id 6; must cover',
        ),
        (rename_category, r"classes that the file does not have: \['RBC'\]"),
        (reverse_categories, 'must be in the order of'),
        (lambda content: content['annotations'][3].pop('iscrowd'), "not every annotation has 'isc"),
    ],
)
def test_metric_on_another_file(judged, coco_folder, edit_json, change, message):
    path = coco_folder / 'annotations' / 'instances_val.json'
    edit_json(path, change)
    with pytest.raises(DataError, match=message):
        check_evaluator(dict(type='CocoMetric', ann_file=str(path)), 'val_evaluator', [judged])


def test_metric_on_the_same_file_without_crowd_flags(dataset, annotations, edit_json):
    edit_json(annotations, lambda content: content['annotations'][3].pop('iscrowd'))
    judged = check_dataset(dataset, 'val_dataloader.dataset')
    with pytest.raises(DataError, match="not every annotation has 'iscrowd'"):
        check_evaluator(
            dict(type='CocoMetric', ann_file=str(annotations)), 'val_evaluator', [judged]
        )


def test_config_is_not_changed(dataset):
    before = copy.deepcopy(dataset)
    check_dataset(dataset, NAME)
    assert dataset == before
