"""studies.plant_errors: seeded, on record, nested, and never over a file that is there."""

import json

import numpy as np
import pytest

from demo.planted_errors import iou, plant_errors
from studies.plant_errors import main

SOURCE = 'annotations/instances_train.json'


@pytest.fixture
def plant(coco_folder, tmp_path):
    """Plant errors in the small data set's training file, and return what was written."""

    def run(*options, out='noisy.json'):
        main([str(coco_folder / SOURCE), str(tmp_path / out), *options])
        return json.loads((tmp_path / out).read_text())

    return run


def mislabelled(content):
    return {each['id'] for each in content['annotations'] if 'true_category_id' in each}


def test_the_fraction_is_planted_and_can_be_undone(plant, coco_folder, capsys):
    source = json.loads((coco_folder / SOURCE).read_text())
    content = plant('--label-noise', '0.5', '--missing', '0.25')
    assert len(mislabelled(content)) == 4 and len(content['missing_annotations']) == 2
    assert '4 mislabelled, 0 shifted, 0 bogus; 2 left out' in capsys.readouterr().out
    restored = [
        {**each, 'category_id': each.get('true_category_id', each['category_id'])}
        for each in [*content['annotations'], *content['missing_annotations']]
    ]
    for each in restored:
        each.pop('true_category_id', None)
    assert sorted(restored, key=lambda each: each['id']) == source['annotations']


def test_less_noise_is_part_of_more_and_seeds_differ(plant):
    some, more, other = (
        mislabelled(plant('--label-noise', noise, '--seed', seed, out=f'{noise}-{seed}.json'))
        for noise, seed in (('0.25', '0'), ('0.5', '0'), ('0.5', '1'))
    )
    assert some < more
    assert other != more


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--label-noise', '1.5'], '--label-noise 1.5: must be a fraction in [0, 1]'),
        (['--missing', '-0.1'], '--missing -0.1: must be a fraction in [0, 1]'),
        (['--label-noise', '0.6', '--missing', '0.6'], 'must sum to 1 or less'),
        (['--label-noise', '0.6', '--shifted', '0.6'], 'must sum to 1 or less'),
        (['--bogus', '2'], '--bogus 2.0: must be a fraction in [0, 1]'),
        (['--seed', '-1'], '--seed -1: must be 0 or more'),
    ],
    ids=lambda each: ' '.join(each) if isinstance(each, list) else '',
)
def test_bad_arguments_get_one_line_and_no_file(plant, tmp_path, options, message):
    with pytest.raises(SystemExit) as error:
        plant(*options)
    assert message in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'noisy.json').exists()


def test_a_file_that_is_there_stays(plant, tmp_path):
    (tmp_path / 'noisy.json').write_text('mine')
    with pytest.raises(SystemExit, match='exists already; remove it or name another file'):
        plant('--label-noise', '0.5')
    assert (tmp_path / 'noisy.json').read_text() == 'mine'


@pytest.mark.parametrize('kind', ['--label-noise', '--missing', '--shifted'])
def test_errors_are_planted_once(plant, tmp_path, kind):
    plant(kind, '0.0')
    once, again = tmp_path / 'once.json', tmp_path / 'again.json'
    main([str(tmp_path / 'noisy.json'), str(once), kind, '0.5'])
    with pytest.raises(SystemExit, match='has planted errors already'):
        main([str(once), str(again), kind, '0.5'])
    assert once.exists() and not again.exists()


@pytest.fixture
def edited(coco_folder, edit_json):
    return lambda change: edit_json(coco_folder / SOURCE, change)


def keep_one_category(content):
    content['categories'] = content['categories'][:1]
    for each in content['annotations']:
        each['category_id'] = 1


def use_one_category(content):
    for each in content['annotations']:
        each['category_id'] = 2


@pytest.mark.parametrize('change', [keep_one_category, use_one_category])
def test_a_single_category_has_no_wrong_label(plant, edited, change):
    edited(change)
    with pytest.raises(SystemExit, match='has one category with objects'):
        plant('--label-noise', '0.5')
    assert len(plant('--missing', '0.5')['missing_annotations']) == 4


def test_no_object_means_no_error(plant, edited):
    edited(lambda content: content['annotations'].clear())
    assert plant('--label-noise', '0.5', '--missing', '0.5')['annotations'] == []


def test_wrong_labels_are_of_categories_that_have_objects(plant, edited):
    def add_unused(content):
        content['categories'].insert(0, {'id': 0, 'name': 'cells', 'supercategory': 'none'})
        content['categories'].append({'id': 7, 'name': 'crowds'})
        content['annotations'].append({**content['annotations'][0], 'id': 50, 'category_id': 7})
        content['annotations'][-1]['iscrowd'] = 1

    edited(add_unused)
    content = plant('--label-noise', '1.0')
    objects = [each for each in content['annotations'] if not each['iscrowd']]
    assert len(mislabelled(content)) == len(objects) == 8
    assert {each['category_id'] for each in objects} <= {1, 2, 3}
    assert all(each['category_id'] != each['true_category_id'] for each in objects)


@pytest.mark.parametrize('place', [0, 5])
def test_ids_may_be_numbers_and_text_in_one_file(plant, edited, place):
    """The same objects get the same errors, whatever their ids look like."""
    options = ('--label-noise', '0.5', '--missing', '0.25')
    numbers = plant(*options)
    edited(lambda content: content['annotations'][place].update(id='a1'))
    mixed = plant(*options, out='mixed.json')
    for key in ('annotations', 'missing_annotations'):
        named = [{**each, 'id': 'a1'} if each['id'] == place + 1 else each for each in numbers[key]]
        assert mixed[key] == named


def planted(content, key):
    return [each for each in content['annotations'] if key in each]


def test_shifted_boxes_are_moved_by_the_stated_share_and_can_be_undone(plant, coco_folder):
    source = json.loads((coco_folder / SOURCE).read_text())
    content = plant('--shifted', '0.5')
    shifted = planted(content, 'true_bbox')
    assert len(shifted) == 4
    for each in shifted:
        x, y, width, height = each['bbox']
        assert min(x, y) >= 0 and x + width <= 64 and y + height <= 48
        assert 0.25 < iou(each['bbox'], each['true_bbox']) < 0.75
    for each in shifted:
        each['bbox'] = each.pop('true_bbox')
    assert content['annotations'] == source['annotations']


def test_a_small_object_keeps_its_size_and_has_the_stated_overlap():
    boxes = [{'id': i, 'image_id': 0, 'category_id': 1, 'bbox': [i, 0, 9, 7]} for i in range(99)]
    images = {0: {'width': 108, 'height': 50}}
    rng = np.random.default_rng(0)
    shifted, _ = plant_errors(boxes, [1], 0, 0, rng, shifted=1.0, images=images)
    assert all(each['bbox'][2:] == [9, 7] for each in shifted)
    overlaps = [iou(each['bbox'], each['true_bbox']) for each in shifted]
    assert 0.26 <= min(overlaps) < 0.29 and 0.49 < max(overlaps) <= 0.54


def test_bogus_boxes_are_of_a_usual_size_where_nothing_is(plant, edited):
    def widen(content):
        for image in content['images']:
            image.update(width=200, height=200)

    edited(widen)
    content = plant('--bogus', '0.5', '--missing', '0.25', '--shifted', '0.25')
    bogus = planted(content, 'bogus')
    assert len(bogus) == 4 and len({each['id'] for each in content['annotations']}) == 6 + 4
    others = [*content['annotations'], *content['missing_annotations']]
    boxes = [(each['id'], each['image_id'], each['bbox']) for each in others]
    boxes += [(0, each['image_id'], each['true_bbox']) for each in planted(content, 'true_bbox')]
    assert {tuple(each['bbox'][2:]) for each in bogus} < {tuple(box[2:]) for *_, box in boxes}
    for each in bogus:
        x, y, width, height = each['bbox']
        assert min(x, y) >= 0 and max(x + width, y + height) <= 200
        same = [box for _, image, box in boxes if image == each['image_id'] and box != each['bbox']]
        assert all(iou(each['bbox'], box) < 0.1 for box in same)


def test_fewer_bogus_boxes_are_part_of_more(plant, edited):
    edited(lambda content: content['images'].append({**content['images'][0], 'id': 99}))
    some, more = (planted(plant('--bogus', each, out=each), 'bogus') for each in ('0.125', '0.25'))
    assert some == more[:1] and len(more) == 2


def test_without_room_no_bogus_box_is_planted(plant, edited):
    def fill(content):
        for each in content['annotations']:
            each['bbox'] = [0, 0, 64, 48]

    edited(fill)
    with pytest.raises(SystemExit, match='no room for a bogus box'):
        plant('--bogus', '1.0')


def test_no_object_has_two_errors(plant):
    content = plant('--label-noise', '0.25', '--missing', '0.25', '--shifted', '0.5')
    wrong, shifted = mislabelled(content), {each['id'] for each in planted(content, 'true_bbox')}
    missing = {each['id'] for each in content['missing_annotations']}
    assert len(wrong) == len(missing) == 2 and len(shifted) == 4
    assert wrong | shifted | missing == set(range(1, 9))


def test_older_errors_stay_where_boxes_are_shifted_as_well(plant):
    options = ('--label-noise', '0.25', '--missing', '0.25')
    before = plant(*options)
    after = plant(*options, '--shifted', '0.5', '--bogus', '0', out='more.json')
    assert mislabelled(before) == mislabelled(after)
    assert before['missing_annotations'] == after['missing_annotations']
