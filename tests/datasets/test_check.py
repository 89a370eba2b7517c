"""Checks of data sets as configs define them: what passes, and what a broken one gets."""

import copy
import json
import shlex
import shutil
import subprocess
import sys

import pytest
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO

from ghm_mmdet.datasets.check import leaf_datasets, read_data
from ghm_mmdet.datasets.findings import DataError

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


def read_all(dataset, **cfg):
    return read_data(dict(train_dataloader=dict(dataset=dataset), **cfg), ('train',))


def read(dataset, **cfg):
    """The one data set of a training."""
    reading = read_all(dataset, **cfg)
    reading.findings.raise_error()
    return reading.splits[0]


@pytest.fixture
def annotations(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


def test_good_dataset(dataset, annotations):
    split = read(dataset)
    assert split.name == NAME
    assert split.classes == CLASSES
    assert split.table.path == str(annotations)
    assert split.table.image_ids == [*range(8)]
    assert split.objects == 8


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
    assert read(dataset).table.path == oracle.ann_file


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
    findings = read_all(dataset).findings
    assert not findings.errors
    assert sum('lie outside of' in line for line in findings.warnings) == elsewhere


def test_images_in_folders_of_their_own(dataset, annotations, coco_folder, edit_json):
    (coco_folder / 'images' / 'left').mkdir()
    shutil.move(coco_folder / 'images' / '0.png', coco_folder / 'images' / 'left')
    edit_json(annotations, lambda content: content['images'][0].update(file_name='left/0.png'))
    assert read(dataset)


def test_coco_itself(data_folder):
    dataset = dict(
        type='CocoDataset',
        data_root=str(data_folder('tiny_coco')),
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
    )
    assert len(read(dataset).classes) == 80


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
    'prefix that is a text': (
        config(data_prefix='images/'),
        r"data_prefix='images/': must be a dict, such as dict\(img='images/'\)",
    ),
    'filter that is no dict': (config(filter_cfg=True), 'filter_cfg=True: must be a dict'),
    'indices of text': (config(indices='3'), "indices='3': must be a number of pictures"),
    'indices beyond the end': (
        config(indices=[0, 9]),
        r'indices=\[0, 9\]: must be numbers of the 8',
    ),
    'a link that leads nowhere': (
        lambda dataset, content, folder: [
            (folder / 'images' / '2.png').unlink(),
            (folder / 'images' / '2.png').symlink_to('nowhere.png'),
        ],
        '1 of 8 images are missing',
    ),
    'masks that are loaded and not there': (
        config(pipeline=[dict(type='LoadAnnotations', with_mask=True)]),
        '8 annotations have no segmentation that can be read, such as 1, and .* loads masks',
    ),
    'unknown kind of data set': (config(type='CocoDatasett'), 'must be the name of a registered'),
}


@pytest.mark.parametrize(('change', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_dataset_is_refused_in_one_line(
    dataset, annotations, coco_folder, edit_json, change, message
):
    edit_json(annotations, lambda content: change(dataset, content, coco_folder))
    with pytest.raises(DataError, match=message) as error:
        read(dataset)
    assert '\n' not in str(error.value)


def test_category_may_be_left_out_on_purpose(dataset):
    dataset['metainfo'] = dict(classes=('RBC', 'WBC'))
    assert read(dataset, unused_categories=['Platelets']).classes == ('RBC', 'WBC')


def test_category_without_boxes_need_not_be_listed(dataset, annotations, edit_json):
    edit_json(annotations, lambda content: content['categories'].append(dict(id=9, name='none')))
    assert read(dataset)


@pytest.mark.parametrize(
    'change',
    [
        dict(type='VOCDataset'),
        dict(data_root='s3://bucket/coco/'),
        dict(backend_args=dict(backend='petrel')),
    ],
)
def test_what_cannot_be_read_here_is_left_to_the_data_set(dataset, change):
    assert read_all(dataset | change).splits == []


@pytest.mark.parametrize('prefix', ['s3://bucket/images/', 'http://host/images'])
def test_pictures_elsewhere_than_on_a_disk_are_left_to_the_data_set(dataset, prefix):
    split = read(
        dict(dataset, data_prefix=dict(img=prefix), data_root=None, ann_file=split_file(dataset))
    )
    assert split.objects == 8


def split_file(dataset):
    return f'{dataset["data_root"]}/{dataset["ann_file"]}'


def test_absolute_names_need_no_folder(dataset, annotations, coco_folder, edit_json):
    def change(content):
        for image in content['images']:
            image['file_name'] = str(coco_folder / 'images' / image['file_name'])

    edit_json(annotations, change)
    found = dict(dataset, data_root='', ann_file=str(annotations), data_prefix=dict(img=''))
    reading = read_all(found)
    assert (reading.findings.errors, reading.findings.warnings) == ([], [])


WRITERS = [
    dict(type='DumpDetResults', out_file_path='found.pkl'),
    [
        dict(type='DumpDetResults', out_file_path='found.pkl'),
        dict(type='CocoMetric', format_only=True),
    ],
    dict(type='Evaluator', metrics=[dict(type='CocoMetric', format_only=True)]),
]


@pytest.mark.parametrize('evaluator', WRITERS)
def test_what_is_only_written_needs_no_annotations(dataset, annotations, edit_json, evaluator):
    edit_json(annotations, lambda content: content.pop('annotations'))
    cfg = dict(test_dataloader=dict(dataset=dataset), test_evaluator=evaluator)
    assert read_data(cfg, ('test',)).findings.errors == []


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


def test_config_is_not_changed(dataset):
    before = copy.deepcopy(dataset)
    read(dataset)
    assert dataset == before


BACKGROUND = dict(annotations=[])


@pytest.mark.parametrize('keeps_list', [True, False])
def test_a_part_without_annotations_is_fine_beside_one_with_them(
    dataset, coco_folder, annotations, keeps_list
):
    content = json.loads(annotations.read_text())
    content.pop('annotations')
    path = coco_folder / 'annotations' / 'background.json'
    path.write_text(json.dumps({**content, **(BACKGROUND if keeps_list else {})}))
    # without classes of its own it has COCO's
    background = dict(dataset, ann_file='annotations/background.json', metainfo=None)
    joined = dict(type='ConcatDataset', datasets=[dataset, background])
    reading = read_all(joined)
    assert [split.objects for split in reading.splits] == [8, 0]
    assert (reading.findings.errors, reading.findings.warnings) == ([], [])
    with pytest.raises(DataError, match=r'background.json: no box') as error:
        read(background)
    assert ('there is no list' in str(error.value)) != keeps_list


@pytest.mark.parametrize('format_only', [True, False])
def test_pictures_to_predict_on(dataset, annotations, edit_json, format_only):
    edit_json(annotations, lambda content: content.pop('annotations'))
    cfg = dict(
        test_dataloader=dict(dataset=dataset),
        test_evaluator=dict(type='CocoMetric', format_only=format_only),
    )
    errors = read_data(cfg, ('test',)).findings.errors
    assert bool(errors) != format_only


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_encodings_that_pycocotools_does_not_read(dataset, annotations, encoding, tmp_path):
    annotations.write_bytes(annotations.read_text().encode(encoding))
    with pytest.raises(ValueError, match=r'BOM|decode'):
        COCO(str(annotations))
    with pytest.raises(DataError, match=r'must be UTF-8 without a byte order mark') as error:
        read(dataset)
    # the command that the message names makes a file that works
    command = shlex.split(str(error.value).partition('reads it: ')[2])
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True)
    shutil.move(tmp_path / 'new.json', annotations)
    assert read(dataset).objects == 8


@pytest.mark.parametrize(
    ('name', 'on_disk', 'hint'),
    [
        ('gr\u00fcn.png', 'gru\u0308n.png', 'another Unicode form'),
        ('0.JPG', '0.jpg', "has '0.jpg': capital and small letters differ"),
        ('images\\0.png', '0.png', 'backslashes'),
        ('upload/0.png', '0.png', "has a file '0.png': file_name is a path below"),
        ('none.png', '0.png', 'add them, correct'),
    ],
)
def test_a_picture_by_another_name_is_hinted_at(
    dataset, annotations, coco_folder, edit_json, name, on_disk, hint
):
    (coco_folder / 'images' / '0.png').rename(coco_folder / 'images' / on_disk)
    edit_json(annotations, lambda content: content['images'][0].update(file_name=name))
    with pytest.raises(DataError, match='1 of 8 images are missing; the first is') as error:
        read(dataset)
    assert hint in str(error.value)


def test_a_class_that_differs_in_little_is_hinted_at(dataset):
    dataset['metainfo'] = dict(classes=('RBC', 'WBC', 'platelets '))
    with pytest.raises(DataError, match=r"\('platelets ' is 'Platelets' there\)"):
        read(dataset)


def test_all_errors_are_found_at_once(dataset, coco_folder, edit_json):
    other = dict(dataset, metainfo=dict(classes=CLASSES[:2]))
    joined = dict(
        type='ConcatDataset', datasets=[dict(dataset, ann_file='none.json'), other, dataset]
    )
    findings = read_all(joined).findings
    assert ['no such annotation file' in line for line in findings.errors] == [True, False]
    assert 'does not list' in findings.errors[1]
