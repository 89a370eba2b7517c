"""Splits: every picture once, groups whole, classes in proportion, nothing changed on the way."""

import random
import re
from collections import Counter

import pytest

from ghm_mmdet.datasets.coco_file import CocoFile, read_coco_file
from ghm_mmdet.datasets.findings import DataError
from tools.split_coco import (
    EXACT,
    PARTS,
    deal,
    split_coco,
    with_countable_ids,
    with_portable_names,
)

SHARES = [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.7, 0.3)]


def file_of(classes_of_images, names=None, **more):
    """A file whose images have objects of the given classes."""
    names = names or [f'{place}.jpg' for place in range(len(classes_of_images))]
    images = [
        {'id': number, 'file_name': name, 'width': 9, 'height': 9}
        for number, name in enumerate(names, start=1)
    ]
    annotations = []
    for image, classes in zip(images, classes_of_images):
        for each in classes:
            number = len(annotations) + 1
            annotations.append({'id': number, 'image_id': image['id'], 'category_id': each})
    categories = {name: name for classes in classes_of_images for name in classes}
    content = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': number, 'name': name} for name, number in categories.items()],
        **more,
    }
    by_id = {each['id']: each for each in images}
    return CocoFile('file.json', by_id, annotations, categories, content)


def random_units(seed, count=60):
    """Units with numbers of things that are skewed, as those of objects in pictures are."""
    rng = random.Random(seed)
    kinds = 'abcdefg'
    units = []
    for _ in range(count):
        unit = Counter({None: rng.choice([1, 1, 1, 7])})
        for place, kind in enumerate(kinds):
            if rng.random() < 0.9 / (1 + place):
                unit[kind] = rng.choice([1, 2, 3, 20])
        units.append(unit)
    return units


def given(units, parts, count):
    numbers = [Counter() for _ in range(count)]
    for unit, part in zip(units, parts):
        numbers[part].update(unit)
    return numbers


def off_share(units, parts, shares):
    """By kind the largest distance of a part from its share of it."""
    total = sum(units, Counter())
    numbers = given(units, parts, len(shares))
    pairs = list(zip(numbers, shares))
    return {kind: max(abs(n[kind] - s * total[kind]) for n, s in pairs) for kind in total}


def imbalance(units, parts, shares):
    total = sum(units, Counter())
    numbers = given(units, parts, len(shares))
    return sum(
        (own[kind] - share * total[kind]) ** 2 / total[kind]
        for own, share in zip(numbers, shares)
        for kind in total
    )


@pytest.mark.parametrize('shares', SHARES)
@pytest.mark.parametrize('seed', range(10))
def test_no_split_is_further_off_than_random_ones_in_the_mean(shares, seed):
    """The bound that the docstring states, and that its right side is what it says."""
    units = random_units(seed)
    total = sum(units, Counter())
    bound = (1 - sum(share**2 for share in shares)) * sum(
        number**2 / total[kind] for unit in units for kind, number in unit.items()
    )
    assert imbalance(units, deal(units, shares, seed), shares) <= bound
    rng = random.Random(seed)
    places = range(len(shares))
    at_random = [
        imbalance(units, rng.choices(places, shares, k=len(units)), shares) for _ in range(400)
    ]
    assert sum(at_random) / 400 == pytest.approx(bound, rel=0.15)


def units_of(file):
    units = {number: Counter({None: 1}) for number in file.images}
    for each in file.annotations:
        units[each['image_id']][each['category_id']] += 1
    return list(units.values())


@pytest.mark.parametrize('shares', SHARES)
@pytest.mark.parametrize('name', ['bccd', 'cards', 'pcb'])
def test_real_data_keeps_its_proportions(data_folder, name, shares):
    path = data_folder(name) / 'annotations' / 'instances_train.json'
    units = units_of(read_coco_file(str(path)))
    for seed in range(5):
        off = off_share(units, deal(units, shares, seed), shares)
        assert off.pop(None) <= 3
        assert max(off.values()) <= 6


@pytest.mark.parametrize('shares', SHARES)
def test_one_class_is_dealt_to_within_an_object(shares):
    units = [Counter({None: 1, 'a': 1}) for _ in range(37)]
    assert max(off_share(units, deal(units, shares, 3), shares).values()) < 1


def test_the_rarest_class_is_in_every_part():
    """Its pictures hold many objects of a common class, by which alone they would not be spread."""
    rng = random.Random(0)
    common = [Counter({None: 1, 'common': rng.randint(1, 30)}) for _ in range(100)]
    rare = [Counter({None: 1, 'common': rng.randint(1, 30), 'rare': 1}) for _ in range(10)]
    for seed in range(10):
        units = [*common, *rare]
        parts = deal(units, (0.8, 0.1, 0.1), seed)
        assert [own['rare'] for own in given(units, parts, 3)] == [8, 1, 1]


@pytest.fixture
def mixed():
    """60 pictures of ten videos, a quarter of them without an object."""
    rng = random.Random(0)
    classes = [rng.choices('aabc', k=rng.randint(0, 3)) for _ in range(60)]
    names = [f'video{place % 10}_{place}.jpg' for place in range(60)]
    return file_of(classes, names, info={'year': 2020}, licenses=[{'id': 1}], videos=[])


@pytest.mark.parametrize('group', [None, re.compile('^[^_]+'), re.compile(r'video(\d)_')])
@pytest.mark.parametrize('shares', SHARES)
def test_every_picture_is_in_one_part_with_its_annotations(mixed, shares, group):
    parts = split_coco(mixed, shares, 0, group)
    assert list(parts) == list(PARTS[: len(shares)])
    for key in ('images', 'annotations'):
        entries = [each for part in parts.values() for each in part[key]]
        assert sorted(entries, key=lambda each: each['id']) == mixed.content[key]
    for part in parts.values():
        assert list(part) == list(mixed.content)
        for key in ('info', 'licenses', 'categories', 'videos'):
            assert part[key] == mixed.content[key]
        own = {each['id'] for each in part['images']}
        assert {each['image_id'] for each in part['annotations']} <= own
        for key in ('images', 'annotations'):
            ids = [each['id'] for each in part[key]]
            assert ids == sorted(ids)


def parts_of_names(parts):
    return {
        name: {image['file_name'] for image in content['images']} for name, content in parts.items()
    }


@pytest.mark.parametrize('pattern', ['^[^_]+', r'video(\d)_', '(nothing)?video.'])
def test_pictures_of_a_group_stay_together(mixed, pattern):
    for seed in range(5):
        names = parts_of_names(split_coco(mixed, (0.6, 0.2, 0.2), seed, re.compile(pattern)))
        videos = [{name.partition('_')[0] for name in own} for own in names.values()]
        assert sum(map(len, videos)) == 10


def test_pictures_of_the_same_file_stay_together():
    file = file_of([['a']] * 30, [f'{place % 10}.jpg' for place in range(30)])
    names = parts_of_names(split_coco(file, (0.6, 0.2, 0.2), 0))
    assert sum(map(len, names.values())) == 10


def test_a_seed_decides(mixed):
    first, again, other = (split_coco(mixed, (0.8, 0.2), seed) for seed in (1, 1, 2))
    assert first == again
    assert parts_of_names(first) != parts_of_names(other)


def test_pictures_without_objects_are_spread():
    file = file_of([['a']] * 50 + [[]] * 50)
    for part, count in zip(split_coco(file, (0.8, 0.1, 0.1), 0).values(), (40, 5, 5)):
        assert len(part['images']) == 2 * count and len(part['annotations']) == count


def test_a_file_without_annotations_is_split():
    file = file_of([[]] * 10)
    del file.content['annotations']
    parts = split_coco(file, (0.5, 0.5), 0)
    assert [len(part['images']) for part in parts.values()] == [5, 5]
    assert all('annotations' not in part for part in parts.values())


def test_crowds_go_with_their_picture_and_are_no_objects():
    file = file_of([['a', 'b'], *[['a']] * 9])
    file.annotations[1]['iscrowd'] = 1
    plain = file_of([['a']] * 10)
    dealt = [parts_of_names(split_coco(each, (0.5, 0.5), 0)) for each in (file, plain)]
    assert dealt[0] == dealt[1]
    assert sum(len(part['annotations']) for part in split_coco(file, (0.5, 0.5), 0).values()) == 11


def test_planted_errors_go_with_their_picture():
    missing = [{'id': 90 + number, 'image_id': number} for number in range(1, 11)]
    for part in split_coco(
        file_of([['a']] * 10, missing_annotations=missing), (0.5, 0.5), 0
    ).values():
        own = [image['id'] for image in part['images']]
        assert [each['image_id'] for each in part['missing_annotations']] == own


def test_a_class_with_one_picture_is_in_one_part():
    parts = split_coco(file_of([['rare'], *[['a']] * 19]), (0.8, 0.1, 0.1), 0)
    counts = [
        Counter(each['category_id'] for each in part['annotations']) for part in parts.values()
    ]
    assert [each['rare'] for each in counts] == [1, 0, 0]
    assert [each['a'] for each in counts] == [15, 2, 2]


@pytest.mark.parametrize(
    ('pictures', 'shares', 'group', 'empty'),
    [
        (1, (0.5, 0.5), None, 'val'),
        (2, (0.4, 0.3, 0.3), None, 'test'),
        (3, (0.8, 0.1, 0.1), None, 'val'),
        (50, (0.8, 0.2), re.compile('jpg'), 'val'),
    ],
)
def test_an_empty_part_is_refused(pictures, shares, group, empty):
    with pytest.raises(DataError, match=f'leave {empty} without any; it needs') as error:
        split_coco(file_of([['a']] * pictures), shares, 0, group)
    assert f'file.json: {pictures} pictures in ' in str(error.value)


@pytest.mark.parametrize('pattern', [r'video\d', '^v?'])
def test_a_name_that_has_no_group_is_named_and_the_remedy_works(pattern):
    file = file_of([['a']] * 10, [f'video{place}.jpg' for place in range(9)] + ['x.jpg'])
    with pytest.raises(DataError, match=r"1 of 10 file names, such as 'x\.jpg', .* end it in"):
        split_coco(file, (0.5, 0.5), 0, re.compile(pattern))
    assert len(split_coco(file, (0.5, 0.5), 0, re.compile(r'video\d|.+'))) == 2


def test_backslashes_become_slashes():
    names = ['a\\1.jpg', 'a/1.jpg', 'b\\c\\2.jpg']
    file, change = with_portable_names(file_of([['a']] * 3, names))
    changed = ['a/1.jpg', 'a/1.jpg', 'b/c/2.jpg']
    assert [each['file_name'] for each in file.images.values()] == changed
    assert file.content['images'] == list(file.images.values())
    assert change.startswith("2 file names, such as 'a\\\\1.jpg'")
    assert with_portable_names(file) == (file, '')


@pytest.mark.parametrize('odd', [0, -3, 'a1', True, EXACT + 1])
def test_ids_that_the_metric_cannot_count_by_are_replaced(odd):
    file = file_of([['a'], ['b'], ['a']])
    assert with_countable_ids(file) == (file, '')
    file.annotations[1]['id'] = odd
    changed, words = with_countable_ids(file)
    assert [each['id'] for each in changed.annotations] == [1, 2, 3]
    assert [each['category_id'] for each in changed.annotations] == ['a', 'b', 'a']
    assert changed.content['annotations'] == changed.annotations
    assert repr(odd) in words and file.annotations[1]['id'] == odd
