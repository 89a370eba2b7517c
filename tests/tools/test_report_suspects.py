"""Suspects of small scenes whose answers can be read off."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from gradient_report.suspects import annotated_suspects, unannotated_suspects, worst

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


def test_a_picture_without_objects_or_detections():
    assert annotated_suspects(scene([], [(FAR, 0, 0.6)]), 2) == []
    assert unannotated_suspects(scene([(BOX, 1)], [])) == []


def test_worst_come_first():
    found = annotated_suspects(scene([(BOX, 0), (FAR, 0)], [(BOX, 0, 0.9), (FAR, 1, 0.9)]), 2)
    assert [each.box for each in worst(found, 1)] == [pytest.approx(tuple(FAR))]
