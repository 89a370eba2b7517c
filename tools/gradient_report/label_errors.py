"""Finds the annotations that a detector contradicts, where label errors are likely.

A detector that has learnt what most labels say puts a wrong one at the far end of the gradient
norm, where GHM's outliers are. A COCO file takes the suspects to a labelling tool.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmcv.ops import nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from torch import Tensor

from ghm_mmdet.datasets.coco_file import is_ignored

SAME_OBJECT = 0.5  # IoU from which a detection speaks of an annotated object
ELSEWHERE = 0.3  # IoU below which it speaks of something else
INSIDE_IGNORED = 0.5  # share of a detection inside an ignored region or a crowd
SAME_BOX = 1.0  # pixels that a box may be off after it was resized and back


@dataclass(frozen=True)
class Suspect:
    """An annotation that the model contradicts, or an object that it sees and nobody annotated.

    Attributes:
        image_id: As in the data set.
        image_path: The picture's file.
        image_shape: Its height and width in pixels.
        box: x1, y1, x2, y2 in pixels of the file.
        label: Annotated class index; None where nothing is annotated.
        label_score: The model's score for that class, in [0, 1].
        believed: The class index for which the model has the highest score, the label left out;
            None where it sees no other.
        believed_score: That score, in [0, 1].
        gradient_norm: How far the annotation is from the model, in [0, 1].
    """

    image_id: int
    image_path: str
    image_shape: tuple[int, int]
    box: tuple[float, float, float, float]
    label: int | None
    label_score: float
    believed: int | None
    believed_score: float
    gradient_norm: float


def annotated_suspects(sample: DetDataSample, num_classes: int) -> list[Suspect]:
    """Every annotated object, with the gradient norm of its label.

    g = (1 - p_label + p_other) / 2, where p_other is the highest score of another class: half the
    L1 norm of p - p* over the two classes that the label is about. It is near 0 where the model
    agrees, 1/2 where it sees nothing, and near 1 where it is sure of another class. The sample has
    ground truth in pixels of the resized image, predictions in those of the file.
    """
    found = sample.pred_instances
    boxes = _in_file_pixels(sample, sample.gt_instances)
    labels = sample.gt_instances.labels.to(boxes.device)
    overlaps = bbox_overlaps(boxes, get_box_tensor(found.bboxes))
    scores = _best_scores(overlaps >= SAME_OBJECT, found.labels, found.scores, num_classes)
    label_score = scores.gather(1, labels.unsqueeze(1)).squeeze(1)
    # a neighbour's detection is no word against this object's label
    nearest = torch.zeros_like(overlaps, dtype=torch.bool)
    if len(boxes):
        nearest.scatter_(0, overlaps.argmax(0, keepdim=True), True)
    spoken = nearest & (overlaps >= SAME_OBJECT)
    others = _best_scores(spoken, found.labels, found.scores, num_classes)
    others.scatter_(1, labels.unsqueeze(1), 0)
    other_score, other = others.max(1)
    norm = (1 - label_score + other_score) / 2
    columns = (boxes, labels, label_score, other, other_score, norm)
    return [
        Suspect(*_image_of(sample), tuple(box), label, score, believed if p else None, p, g)
        for box, label, score, believed, p, g in zip(*map(Tensor.tolist, columns))
    ]


def unannotated_suspects(sample: DetDataSample) -> list[Suspect]:
    """Every detection where nothing is annotated; g is its score, as p* is 0."""
    found = sample.pred_instances
    boxes = _in_file_pixels(sample, sample.gt_instances)
    free = (bbox_overlaps(boxes, found.bboxes) < ELSEWHERE).all(0)
    ignored = _in_file_pixels(sample, sample.get('ignored_instances'))
    inside = bbox_overlaps(found.bboxes, ignored, mode='iof') >= INSIDE_IGNORED
    found = found[free & ~inside.any(1)]
    if len(found) == 0:
        return []
    # one entry for each object, whatever classes it is seen as
    _, kept = nms(found.bboxes.float(), found.scores.float(), SAME_OBJECT)
    found = found[kept]
    columns = (found.bboxes, found.labels, found.scores)
    return [
        Suspect(*_image_of(sample), tuple(box), None, 0.0, label, score, score)
        for box, label, score in zip(*map(Tensor.tolist, columns))
    ]


def worst(suspects: list[Suspect], count: int) -> list[Suspect]:
    """The suspects with the largest gradient norms, largest first."""
    return sorted(suspects, key=lambda each: -each.gradient_norm)[:count]


def _image_of(sample: DetDataSample) -> tuple[int, str, tuple[int, int]]:
    return sample.img_id, sample.img_path, tuple(sample.ori_shape[:2])


def _in_file_pixels(sample: DetDataSample, instances: object) -> Tensor:
    device = sample.pred_instances.bboxes.device
    if instances is None:
        return torch.zeros(0, 4, device=device)
    boxes = get_box_tensor(instances.bboxes).to(device)
    return boxes / boxes.new_tensor(sample.scale_factor).repeat(2)


def _best_scores(matches: Tensor, labels: Tensor, scores: Tensor, num_classes: int) -> Tensor:
    """Highest score of each class among the detections that match an object, shape (objects, C).

    ``matches`` is bool, of shape (objects, detections).
    """
    table = scores.new_zeros(len(matches), num_classes)
    values = scores.expand_as(matches).where(matches, 0)
    return table.scatter_reduce(1, labels.expand_as(matches), values, 'amax')


def coco_of_suspects(
    suspects: Sequence[Suspect],
    classes: Sequence[str],
    annotated: dict | None = None,
    image_folder: str = '',
) -> dict:
    """The content of a COCO annotation file with one annotation for each suspect.

    An annotated object keeps its category and, where it is found in the data set's own file, its
    id. An object that nobody annotated gets the category that the model sees. What the model thinks
    is in ``gradient_norm``, ``label_score``, ``believed_category_id`` and ``believed_score``.

    Args:
        suspects: The largest gradient norm first.
        classes: Names, by class index.
        annotated: Content of the data set's COCO file: gives ids and the categories' numbers.
        image_folder: What file names are relative to.
    """
    annotated = annotated or {'categories': []}
    numbers = {each['name']: each['id'] for each in annotated['categories']}
    numbers = [numbers.get(name, index + 1) for index, name in enumerate(classes)]
    entries = annotated.get('annotations', [])  # not there in a list of pictures to predict on
    known = defaultdict(list)
    for each in entries:
        if not is_ignored(each):
            known[each['image_id']].append(each)
    free = 1 + max([0, *(each['id'] for each in entries if isinstance(each['id'], int))])
    images, annotations = {}, []
    for number, each in enumerate(suspects, start=free):
        height, width = each.image_shape
        name = os.path.relpath(each.image_path, image_folder or None)
        images[each.image_id] = dict(id=each.image_id, file_name=name, height=height, width=width)
        found = _take(known[each.image_id], each, numbers)
        annotations.append(_annotation(each, numbers, number if found is None else found))
    categories = [dict(id=number, name=name) for number, name in zip(numbers, classes)]
    return dict(images=[*images.values()], categories=categories, annotations=annotations)


def _annotation(suspect: Suspect, numbers: list[int], number: int | str) -> dict:
    x1, y1, x2, y2 = suspect.box
    believed = None if suspect.believed is None else numbers[suspect.believed]
    return {
        'id': number,
        'image_id': suspect.image_id,
        'category_id': believed if suspect.label is None else numbers[suspect.label],
        'bbox': [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
        'area': round((x2 - x1) * (y2 - y1), 2),
        'iscrowd': 0,
        'gradient_norm': round(suspect.gradient_norm, 4),
        'label_score': round(suspect.label_score, 4),
        'believed_category_id': believed,
        'believed_score': round(suspect.believed_score, 4),
    }


def _take(candidates: list[dict], suspect: Suspect, numbers: list[int]) -> int | str | None:
    """The id of the annotation that a suspect is, None where there is none.

    It is no candidate afterwards: one object may be annotated twice.
    """
    if suspect.label is None:
        return None
    of_class = [each for each in candidates if each['category_id'] == numbers[suspect.label]]
    nearest = min(of_class, key=lambda each: _distance(each, suspect), default=None)
    if nearest is None or _distance(nearest, suspect) > SAME_BOX:
        return None
    candidates.remove(nearest)
    return nearest['id']


def _distance(annotation: dict, suspect: Suspect) -> float:
    """Largest distance of two sides in pixels."""
    height, width = suspect.image_shape
    x, y, w, h = annotation['bbox']
    # resizing clips boxes to the picture
    corners = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
    return max(abs(a - b) for a, b in zip(corners, suspect.box))
