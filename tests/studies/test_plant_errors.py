"""studies.plant_errors: seeded, on record, nested, and never over a file that is there."""

import json

import pytest

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
    assert '4 mislabelled; 2 left out' in capsys.readouterr().out
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


@pytest.mark.parametrize('kind', ['--label-noise', '--missing'])
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
