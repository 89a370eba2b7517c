"""Suspects of small scenes whose answers can be read off, and their COCO file.

pycocotools reads the file, and its entries are tied to the data set that they are from.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from gradient_report.label_errors import (
    Suspect,
    annotated_suspects,
    badly_placed_suspects,
    unannotated_suspects,
    unseen_suspects,
    worst,
)
from gradient_report.suspect_file import coco_of_suspects

BOX = [10.0, 10.0, 30.0, 40.0]
NEAR = [11.0, 10.0, 30.0, 41.0]
FAR = [60.0, 60.0, 80.0, 90.0]
ZOOM = (2.0, 0.5)  # of the width and of the height


def scene(objects, detections, ignored=()):
    """A sample of (box, label) and (box, label, score); its boxes are those of the file."""
    sample = DetDataSample(
        metainfo=dict(img_id=7, img_path='7.jpg', ori_shape=(100, 120), scale_factor=ZOOM)
    )
    sample.gt_instances = resized([box for box, _ in objects], [label for _, label in objects])
    sample.ignored_instances = resized(ignored, [0] * len(ignored))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([each[0] for each in detections]).reshape(-1, 4),
        labels=torch.tensor([each[1] for each in detections], dtype=torch.int64),
        scores=torch.tensor([each[2] for each in detections], dtype=torch.float32),
    )
    return sample


def resized(boxes, labels):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(
        bboxes=boxes * torch.tensor(ZOOM).repeat(2), labels=torch.tensor(labels).long()
    )


@pytest.mark.parametrize(
    ('detections', 'label_score', 'believed', 'believed_score'),
    [
        ([(NEAR, 1, 0.9), (NEAR, 2, 0.2)], 0.9, 2, 0.2),
        ([(NEAR, 2, 0.8), (BOX, 2, 0.7), (NEAR, 1, 0.1)], 0.1, 2, 0.8),
        ([(FAR, 2, 0.9)], 0.0, None, 0.0),
        ([], 0.0, None, 0.0),
    ],
    ids=['believed', 'contradicted', 'seen elsewhere', 'not seen'],
)
def test_gradient_norm_of_a_label(detections, label_score, believed, believed_score):
    (suspect,) = annotated_suspects(scene([(BOX, 1)], detections), num_classes=3)
    assert suspect.label == 1 and suspect.believed == believed
    assert suspect.label_score == pytest.approx(label_score)
    assert suspect.believed_score == pytest.approx(believed_score)
    assert suspect.gradient_norm == pytest.approx((1 - label_score + believed_score) / 2)
    assert suspect.box == pytest.approx(BOX)  # in pixels of the file


def test_a_neighbour_of_another_class_is_no_contradiction():
    neighbour = [14.0, 10.0, 36.0, 40.0]
    objects = [(BOX, 0), (neighbour, 1)]
    found = annotated_suspects(scene(objects, [(BOX, 0, 0.9), (neighbour, 1, 0.95)]), 2)
    assert [each.believed for each in found] == [None, None]
    assert [each.gradient_norm for each in found] == pytest.approx([0.05, 0.025])


def test_what_nobody_annotated_is_named_once():
    detections = [(FAR, 0, 0.6), (FAR, 1, 0.8), (NEAR, 1, 0.9)]
    (suspect,) = unannotated_suspects(scene([(BOX, 1)], detections))
    assert (suspect.label, suspect.believed) == (None, 1)
    assert suspect.gradient_norm == pytest.approx(0.8)
    assert suspect.box == pytest.approx(FAR)


@pytest.mark.parametrize('ignored', [[], [[55.0, 55.0, 100.0, 95.0]]], ids=['free', 'ignored'])
def test_an_ignored_region_is_not_searched(ignored):
    found = unannotated_suspects(scene([], [(FAR, 0, 0.6)], ignored))
    assert len(found) == (0 if ignored else 1)


HALF = [25.0, 10.0, 45.0, 40.0]  # IoU 1/7 with BOX
BESIDE = [18.0, 10.0, 38.0, 40.0]  # IoU 3/7 with BOX


def test_an_object_that_is_seen_beside_its_box_is_badly_placed():
    (suspect,) = badly_placed_suspects(scene([(BOX, 1)], [(BESIDE, 1, 0.9), (HALF, 1, 0.3)]))
    assert suspect.gradient_norm == pytest.approx(0.9 * 4 / 7)
    assert (suspect.label, suspect.believed) == (1, 1)
    assert suspect.believed_score == pytest.approx(0.9)
    assert suspect.box == pytest.approx(BOX)  # in pixels of the file
    assert suspect.believed_box == pytest.approx(BESIDE)


def test_what_is_seen_in_place_as_well_is_hardly_badly_placed():
    detections = [(BESIDE, 1, 0.9), (NEAR, 1, 0.8)]
    (suspect,) = badly_placed_suspects(scene([(BOX, 1)], detections))
    assert suspect.label_score == pytest.approx(0.8)
    assert suspect.gradient_norm == pytest.approx((1 - 0.8) * 0.9 * 4 / 7)


@pytest.mark.parametrize(
    ('others', 'detection'),
    [
        ([], (BESIDE, 0, 0.9)),
        ([], (NEAR, 1, 0.9)),
        ([], (FAR, 1, 0.9)),
        ([(BESIDE, 1)], (BESIDE, 1, 0.9)),
        ([(BESIDE, 0)], (BESIDE, 1, 0.9)),
    ],
    ids=['another class', 'in place', 'far away', 'a neighbour', 'a neighbour of another class'],
)
def test_what_does_not_speak_of_a_place_is_no_word_against_it(others, detection):
    assert badly_placed_suspects(scene([(BOX, 1), *others], [detection])) == []


def test_a_badly_placed_object_is_not_unannotated():
    beside = [23.0, 10.0, 43.0, 40.0]  # IoU 0.21
    assert unannotated_suspects(scene([(BOX, 1)], [(beside, 1, 0.9)])) == []
    assert len(unannotated_suspects(scene([(BOX, 1)], [(beside, 2, 0.9)]))) == 1


@pytest.mark.parametrize(
    ('detections', 'norm', 'believed'),
    [
        ([], 1, None),
        ([(FAR, 1, 0.9)], 1, None),
        ([(BOX, 1, 0.9), (BOX, 2, 0.2)], 0.1, 2),
        ([(BOX, 2, 0.9)], 0.1, 2),
        ([(BESIDE, 1, 0.7)], 1 - 0.7 * 3 / 7, None),
    ],
    ids=['nothing', 'elsewhere', 'seen', 'seen as another class', 'beside'],
)
def test_an_annotation_where_nothing_is_seen_comes_first(detections, norm, believed):
    (suspect,) = unseen_suspects(scene([(BOX, 1)], detections), num_classes=3)
    assert suspect.gradient_norm == pytest.approx(norm, abs=1e-6)
    assert suspect.believed == believed


def test_a_picture_without_objects_or_detections():
    assert annotated_suspects(scene([], [(FAR, 0, 0.6)]), 2) == []
    assert unseen_suspects(scene([], [(FAR, 0, 0.6)]), 2) == []
    assert badly_placed_suspects(scene([], [(FAR, 0, 0.6)])) == []
    assert badly_placed_suspects(scene([(BOX, 1)], [])) == []
    assert unannotated_suspects(scene([(BOX, 1)], [])) == []


def test_worst_come_first():
    found = annotated_suspects(scene([(BOX, 0), (FAR, 0)], [(BOX, 0, 0.9), (FAR, 1, 0.9)]), 2)
    assert [each.box for each in worst(found, 1)] == [pytest.approx(tuple(FAR))]


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


def test_the_models_box_of_a_badly_placed_object_is_in_the_file(written):
    placed = replace(LABELLED, believed_box=(10.0, 5.0, 30.0, 35.0))
    first, second = written([placed, FREE]).anns.values()
    assert first['believed_bbox'] == [10.0, 5.0, 20.0, 30.0]
    assert 'believed_bbox' not in second


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
