"""The objects of a data set that a detector cannot believe: where its label errors are to be found.

A detector that has learnt what most labels say puts a wrong one at the far end of the gradient
norm, where GHM's outliers are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmcv.ops import nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from torch import Tensor

SAME_OBJECT = 0.5  # IoU from which a detection speaks of an annotated object
ELSEWHERE = 0.3  # IoU below which it speaks of something else
INSIDE_IGNORED = 0.5  # share of a detection inside an ignored region or a crowd


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
    agrees, 1/2 where it sees nothing, and near 1 where it is sure of another class.

    Args:
        sample: Ground truth in the pixels of the resized image, predictions in those of the file.
        num_classes: C.
    """
    boxes, labels = ground_truth(sample)
    found = sample.pred_instances
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
    return [
        Suspect(
            sample.img_id,
            sample.img_path,
            tuple(sample.ori_shape[:2]),
            tuple(boxes[i].tolist()),
            int(labels[i]),
            float(label_score[i]),
            int(other[i]) if other_score[i] > 0 else None,
            float(other_score[i]),
            float(norm[i]),
        )
        for i in range(len(boxes))
    ]


def unannotated_suspects(sample: DetDataSample) -> list[Suspect]:
    """Every detection where nothing is annotated; g is its score, as p* is 0.

    Args:
        sample: See :func:`annotated_suspects`.
    """
    boxes, _ = ground_truth(sample)
    found = sample.pred_instances
    free = (bbox_overlaps(boxes, found.bboxes) < ELSEWHERE).all(0)
    ignored = _in_file_pixels(sample, sample.get('ignored_instances'))
    inside = bbox_overlaps(found.bboxes, ignored, mode='iof') >= INSIDE_IGNORED
    found = found[free & ~inside.any(1)]
    if len(found) == 0:
        return []
    # one entry for each object, whatever classes it is seen as
    _, kept = nms(found.bboxes.float(), found.scores.float(), SAME_OBJECT)
    return [
        Suspect(
            sample.img_id,
            sample.img_path,
            tuple(sample.ori_shape[:2]),
            tuple(each.bboxes[0].tolist()),
            None,
            0.0,
            int(each.labels),
            float(each.scores),
            float(each.scores),
        )
        for each in (found[int(index)] for index in kept)
    ]


def ground_truth(sample: DetDataSample) -> tuple[Tensor, Tensor]:
    """Boxes (n, 4) in pixels of the file, and labels (n,)."""
    boxes = _in_file_pixels(sample, sample.gt_instances)
    return boxes, sample.gt_instances.labels.to(boxes.device)


def _in_file_pixels(sample: DetDataSample, instances: object) -> Tensor:
    device = sample.pred_instances.bboxes.device
    if instances is None:
        return torch.zeros(0, 4, device=device)
    boxes = get_box_tensor(instances.bboxes).to(device)
    return boxes / boxes.new_tensor(sample.scale_factor).repeat(2)


def _best_scores(matches: Tensor, labels: Tensor, scores: Tensor, num_classes: int) -> Tensor:
    """Highest score of each class among the detections that match an object.

    Args:
        matches: bool, shape (objects, detections).
        labels: Shape (detections,).
        scores: Shape (detections,).
        num_classes: C.

    Returns:
        Shape (objects, C).
    """
    table = scores.new_zeros(len(matches), num_classes)
    values = scores.expand_as(matches).where(matches, 0)
    return table.scatter_reduce(1, labels.expand_as(matches), values, 'amax')


def worst(suspects: list[Suspect], count: int) -> list[Suspect]:
    """Those with the largest gradient norms, largest first."""
    return sorted(suspects, key=lambda each: -each.gradient_norm)[:count]
