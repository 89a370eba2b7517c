"""COCO's metric beside the data sets that it judges: what is refused, and what the metric does."""

import json

import pytest
from pycocotools.coco import COCO

from ghm_mmdet.datasets.check import read_data
from ghm_mmdet.datasets.findings import DataError
from tests.datasets.perfect import judged

CLASSES = ('RBC', 'WBC', 'Platelets')


@pytest.fixture
def path(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


@pytest.fixture
def judge(coco_folder):
    return coco_folder / 'annotations' / 'instances_val.json'


@pytest.fixture
def findings(coco_folder, path):
    """What is found in data sets, by default one, that a metric judges."""

    def find(metric, *datasets):
        one = dict(
            type='CocoDataset',
            ann_file=str(path),
            data_prefix=dict(img=str(coco_folder / 'images')),
            metainfo=dict(classes=CLASSES),
        )
        parts = [dict(one, **each) for each in datasets or ({},)]
        dataset = dict(type='ConcatDataset', datasets=parts)
        cfg = dict(
            val_dataloader=dict(dataset=dataset),
            val_evaluator=[dict(dict(type='CocoMetric'), **metric)],
        )
        return read_data(cfg, ('val',)).findings

    return find


@pytest.mark.parametrize(
    ('keys', 'error'), [(('img_id',), True), (('img_id', 'instances'), False), (None, True)]
)
def test_metric_without_a_file_needs_objects_from_the_pipeline(findings, keys, error):
    pack = dict(type='PackDetInputs', **(dict(meta_keys=keys) if keys else {}))
    found = findings({}, dict(pipeline=[dict(type='LoadImageFromFile'), pack]))
    assert ['CocoMetric has no ann_file' in line for line in found.errors] == [True] * error


MASKS = {
    'none': ([], False),
    'points without lists': ([1, 1, 20, 1, 20, 20], False),
    'empty polygon': ([[]], False),
    'two points': ([[1, 1, 20, 20]], False),
    'pairs': ([[[1, 1], [20, 1], [20, 20]]], False),
    'text': ('1,1,20', False),
    'triangle': ([[1, 1, 20, 1, 20, 20]], True),
    'RLE': (dict(counts=[0, 48 * 64], size=[48, 64]), True),
}


@pytest.mark.parametrize(('mask', 'is_read'), MASKS.values(), ids=MASKS)
def test_masks_that_are_judged_are_those_that_pycocotools_reads(
    findings, path, edit_json, mask, is_read
):
    def put(content):
        for each in content['annotations']:
            each['segmentation'] = mask

    edit_json(path, put)
    found = findings(dict(ann_file=str(path), metric=['bbox', 'segm']))
    assert bool(found.errors) != is_read
    coco = COCO(str(path))
    if is_read:
        assert coco.annToMask(coco.anns[1]).any()
    else:
        with pytest.raises(Exception, match=''):  # it raises whatever comes
            coco.annToMask(coco.anns[1])


@pytest.mark.parametrize(
    'metric', [{}, dict(type='LVISMetric', ann_file='none.json'), dict(type='VOCMetric')]
)
def test_metric_without_a_file_in_this_format(findings, metric):
    found = findings(metric)
    assert (found.errors, found.warnings) == ([], [])


@pytest.mark.parametrize('split', ['train', 'val'])
def test_metric_on_the_same_images(findings, coco_folder, split):
    found = findings(dict(ann_file=str(coco_folder / f'annotations/instances_{split}.json')))
    assert (found.errors, found.warnings) == ([], [])


def new_ids(part, new):
    """Give entries other ids, and what refers to them."""
    key = {'images': 'image_id', 'categories': 'category_id', 'annotations': 'id'}[part]

    def change(content):
        known = {each['id']: new(each['id']) for each in content[part]}
        for each in content[part]:
            each['id'] = known[each['id']]
        for each in content['annotations'] if part != 'annotations' else ():
            each[key] = known[each[key]]

    return change


def rename_category(content):
    content['categories'][0]['name'] = 'cell'


def swap_names(content):
    first, second = content['images'][:2]
    first['file_name'], second['file_name'] = second['file_name'], first['file_name']


BROKEN = {
    'fewer images': (
        lambda content: content.update(images=content['images'][:6], annotations=[]),
        'lacks 2 images of .*, such as id 6; must cover',
    ),
    'other images of the same ids': (
        swap_names,
        '2 image ids stand for other pictures than in .*, such as id 0, 1.png there and 0.png here',
    ),
    'another class': (rename_category, r"classes that the file does not have: \['RBC'\]"),
    'other order': (
        lambda content: content['categories'].reverse(),
        "its categories must be in the order of .*; sort its list 'categories'",
    ),
    'no crowd flags': (
        lambda content: content['annotations'][3].pop('iscrowd'),
        "not every annotation has 'iscrowd'.*1 have not, such as annotation 4; write iscrowd=0",
    ),
    'annotation ids are text': (
        new_ids('annotations', 'a{}'.format),
        "annotation ids must be integers, .* such as 'a1'; number them",
    ),
    'category ids are text': (
        new_ids('categories', 'c{}'.format),
        "category ids must be integers, .* such as 'c1'",
    ),
}


@pytest.mark.parametrize(('change', 'message'), BROKEN.values(), ids=BROKEN)
def test_metric_on_another_file(findings, judge, edit_json, change, message):
    edit_json(judge, change)
    with pytest.raises(DataError, match=message) as error:
        findings(dict(ann_file=str(judge))).raise_error()
    assert str(error.value).startswith(f'val_evaluator.ann_file={str(judge)!r}: ')
    assert '\n' not in str(error.value)


def test_metric_on_the_same_file_without_crowd_flags(findings, path, edit_json):
    edit_json(path, lambda content: content['annotations'][3].pop('iscrowd'))
    with pytest.raises(DataError, match="not every annotation has 'iscrowd'"):
        findings(dict(ann_file=str(path))).raise_error()


def test_masks_are_needed_where_they_are_judged(findings, judge):
    found = findings(dict(ann_file=str(judge), metric=['bbox', 'segm']))
    assert (
        '8 annotations have no segmentation that can be read, such as 1; metric=' in found.errors[0]
    )


@pytest.mark.parametrize(
    ('change', 'arguments', 'error'),
    [
        (new_ids('annotations', 'a{}'.format), {}, ValueError),
        (new_ids('categories', 'c{}'.format), dict(classwise=True), KeyError),
        (new_ids('images', lambda key: key if key < 4 else f'i{key}'), {}, TypeError),
        (lambda content: content['annotations'][3].pop('iscrowd'), {}, KeyError),
    ],
)
def test_the_metric_ends_at_what_is_refused(path, edit_json, change, arguments, error):
    edit_json(path, change)
    with pytest.raises(error):
        judged(path, CLASSES, **arguments)


def test_ids_that_drop_out_of_the_evaluation(findings, path, edit_json):
    small = {0, 1, 2, 3}
    value = judged(path, CLASSES, lambda image: image['id'] in small)
    edit_json(path, new_ids('images', lambda key: key if key in small else 2**63 + key))
    # what was missed on the other pictures is no longer counted
    assert judged(path, CLASSES, lambda image: image['id'] in small) > value + 0.2
    (error,) = findings(dict(ann_file=str(path))).errors
    assert 'is too large: pycocotools rounds such ids' in error


def test_large_ids_are_a_warning(findings, path, edit_json):
    edit_json(path, new_ids('images', lambda key: 2**53 + 1 + key))
    assert judged(path, CLASSES) == pytest.approx(1)
    (warning,) = findings(dict(ann_file=str(path))).warnings
    assert f'image id {2**53 + 8} is above 2^53' in warning


def test_pictures_that_are_not_predicted_on_count_as_missed(findings, path):
    (warning,) = findings(dict(ann_file=str(path)), dict(indices=2)).warnings
    assert 'has 6 of 8 pictures that are not predicted on' in warning
    assert judged(path, CLASSES, lambda image: image['id'] < 2) < 0.5


def test_a_file_of_those_that_are_predicted_on(findings, judge, edit_json):
    def keep(content):
        content['images'], content['annotations'] = (
            content['images'][:2],
            content['annotations'][:2],
        )

    edit_json(judge, keep)
    found = findings(dict(ann_file=str(judge)), dict(indices=2))
    assert (found.errors, found.warnings) == ([], [])


def test_metrics_inside_of_an_evaluator_are_checked(findings):
    wrapped = dict(type='Evaluator', metrics=[dict(type='CocoMetric', ann_file='none.json')])
    assert 'none.json: no such annotation file' in findings(wrapped).errors[0]


@pytest.mark.parametrize('has_file', [True, False])
def test_one_metric_on_two_files_of_the_same_ids(findings, path, judge, has_file):
    metric = dict(ann_file=str(path)) if has_file else {}
    (error,) = findings(metric, {}, dict(ann_file=str(judge))).errors
    assert '8 image ids stand for more than one picture in' in error
    assert 'give the second file other ids' in error


def test_one_metric_on_two_files(findings, coco_folder, path, judge, edit_json):
    edit_json(judge, new_ids('images', lambda key: key + 8))
    edit_json(judge, new_ids('annotations', lambda key: key + 8))
    both = json.loads(path.read_text())
    for part in ('images', 'annotations'):
        both[part] += json.loads(judge.read_text())[part]
    joined = coco_folder / 'annotations' / 'both.json'
    joined.write_text(json.dumps(both))
    found = findings(dict(ann_file=str(joined)), {}, dict(ann_file=str(judge)))
    assert found.errors == []
    # the two files of this test list the same pictures
    assert all('listed more than once' in line for line in found.warnings)
