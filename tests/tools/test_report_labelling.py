"""The COCO file of suspects: read by pycocotools, and tied to the data set that they are from."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pycocotools.coco import COCO

from gradient_report.labelling import coco_of_suspects
from gradient_report.suspects import Suspect

CLASSES = ('nut', 'bolt')
LABELLED = Suspect(3, '/data/images/3.jpg', (50, 80), (0.3, 5.2, 20.1, 30.0), 1, 0.1, 0, 0.9, 0.9)
UNSEEN = Suspect(3, '/data/images/3.jpg', (50, 80), (40.0, 5.0, 70.0, 45.0), 0, 0.0, None, 0.0, 0.5)
FREE = Suspect(4, '/data/images/4.jpg', (50, 80), (1.0, 2.0, 3.0, 4.0), None, 0.0, 0, 0.7, 0.7)
SOURCE = {
    'categories': [{'id': 11, 'name': 'bolt'}, {'id': 5, 'name': 'nut'}],
    'annotations': [
        {'id': 70, 'image_id': 3, 'category_id': 5, 'bbox': [0, 5, 20, 25]},
        # beyond the picture's left border, where resizing has clipped it
        {'id': 71, 'image_id': 3, 'category_id': 11, 'bbox': [-4, 5, 24, 25]},
    ],
}


@pytest.fixture
def written(tmp_path, capsys):
    def write(suspects, source=SOURCE):
        path = tmp_path / 'suspects.json'
        path.write_text(json.dumps(coco_of_suspects(suspects, CLASSES, source, '/data/images')))
        return COCO(str(path))

    return write


def test_the_file_is_a_coco_file_of_the_suspects(written):
    coco = written([LABELLED, UNSEEN, FREE])
    assert sorted(coco.imgs) == [3, 4]
    assert coco.imgs[3] == {'id': 3, 'file_name': '3.jpg', 'height': 50, 'width': 80}
    assert {each['id']: each['name'] for each in coco.cats.values()} == {5: 'nut', 11: 'bolt'}
    found = list(coco.anns.values())
    assert [each['category_id'] for each in found] == [11, 5, 5]
    assert found[1]['bbox'] == [40.0, 5.0, 30.0, 40.0]
    assert found[1]['area'] == 30 * 40
    assert [each['believed_category_id'] for each in found] == [5, None, 5]
    assert [each['gradient_norm'] for each in found] == [0.9, 0.5, 0.7]


def test_known_objects_keep_their_ids_and_others_get_free_ones(written):
    ids = list(written([LABELLED, UNSEEN, FREE]).anns)
    assert ids[0] == 71
    assert len(set(ids)) == 3 and not {70, 71} & set(ids[1:])


@pytest.mark.parametrize(
    ('source', 'bolt'),
    [(None, 2), ({'categories': SOURCE['categories']}, 11)],
    ids=['no file', 'a file without annotations'],
)
def test_where_no_annotation_is_known_everything_is_numbered(written, source, bolt):
    coco = written([LABELLED, FREE], source)
    assert list(coco.anns) == [1, 2]
    assert coco.anns[1]['category_id'] == bolt


def test_every_annotation_is_one_suspect_at_most(written):
    twice = {'id': 72, 'image_id': 3, 'category_id': 11, 'bbox': [0.5, 5.2, 19.6, 24.8]}
    source = {**SOURCE, 'annotations': [*SOURCE['annotations'], twice]}
    near = replace(LABELLED, box=(0.5, 5.2, 20.1, 30.0))
    assert list(written([near, LABELLED], source).anns) == [72, 71]


@pytest.mark.parametrize('kind', ['iscrowd', 'ignore'])
def test_a_region_that_is_ignored_is_no_object(written, kind):
    crowd = {**SOURCE['annotations'][1], 'id': 69, kind: 1}
    source = {**SOURCE, 'annotations': [crowd, *SOURCE['annotations']]}
    assert list(written([LABELLED], source).anns) == [71]


@pytest.mark.parametrize(
    ('others', 'free'), [([], 2), ([70], 72), ([-9], 2)], ids=['text', 'mixed', 'negative']
)
def test_ids_may_be_text(written, others, free):
    text = {**SOURCE['annotations'][1], 'id': 'a'}
    numbered = [{**SOURCE['annotations'][0], 'id': number} for number in others]
    source = {**SOURCE, 'annotations': [text, *numbered]}
    ids = list(written([LABELLED, FREE], source).anns)
    assert ids == ['a', free]
