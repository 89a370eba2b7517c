"""Finds the annotations that a detector contradicts, where label errors are likely.

For a detector that has learnt from many right labels, a wrong label has a gradient norm near 1,
like GHM's outliers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmcv.ops import nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

SAME_OBJECT = 0.5  # IoU from which a detection is of an annotated object
ELSEWHERE = 0.3  # IoU below which it is of another object
BESIDE = 0.1  # IoU from which a detection of the class may show the real place of the object
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
        believed: The class index, other than the label, with the highest score; None if the model
            sees no other class.
        believed_score: That score, in [0, 1].
        gradient_norm: How much the model contradicts the annotation, in [0, 1].
        believed_box: The model's box for a badly placed object, as ``box``; else None.
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
    believed_box: tuple[float, float, float, float] | None = None


def annotated_suspects(sample: DetDataSample, num_classes: int) -> list[Suspect]:
    """Every annotated object, with the gradient norm of its label.

    g = (1 - p_label + p_other) / 2, where p_other is the highest score of another class: half the
    L1 norm of p - p* over these two classes. It is near 0 if the model
    agrees, 1/2 if it sees nothing, and near 1 if it is sure of another class. The sample has
    ground truth in pixels of the resized image, predictions in pixels of the file.
    """
    scene = _Scene.of(sample)
    there = scene.overlaps >= SAME_OBJECT
    label_score = scene.best_scores(there, num_classes).gather(1, scene.labels.unsqueeze(1))
    # a detection of a neighbour does not contradict this object's label
    others = scene.best_scores(scene.nearest & there, num_classes)
    other_score, other = others.scatter(1, scene.labels.unsqueeze(1), 0).max(1)
    label_score = label_score.squeeze(1)
    norm = (1 - label_score + other_score) / 2
    return _of_objects(sample, scene, label_score, other, other_score, norm)


def unseen_suspects(sample: DetDataSample, num_classes: int) -> list[Suspect]:
    """Every annotated object; g = 1 - the highest score x IoU of a detection, of whatever class.

    It is near 1 if the model sees nothing at all, because p* is 1 for every annotation. The
    sample is as in :func:`annotated_suspects`.
    """
    scene = _Scene.of(sample)
    scores = scene.best_scores(scene.overlaps, num_classes)
    label_score = scores.gather(1, scene.labels.unsqueeze(1)).squeeze(1)
    other_score, other = scores.scatter(1, scene.labels.unsqueeze(1), 0).max(1)
    norm = 1 - torch.maximum(label_score, other_score)
    return _of_objects(sample, scene, label_score, other, other_score, norm)


def badly_placed_suspects(sample: DetDataSample) -> list[Suspect]:
    """The annotated objects that the model sees beside their box.

    A detection may show an object's place if it is of the object's class, and no annotation is
    nearer to it. g = (1 - p) p_beside, where p is the highest score of such detections with an IoU
    of at least 0.5, and p_beside the highest score x (1 - IoU) of those with an IoU of 0.1 to 0.5.
    It is 0 if the model agrees, and grows with the certainty and the distance of the detection.
    The sample is as in :func:`annotated_suspects`.
    """
    scene, found = _Scene.of(sample), sample.pred_instances
    beside = scene.beside()
    there = scene.of_class & scene.nearest & (scene.overlaps >= SAME_OBJECT)
    label_score = found.scores.expand_as(there).where(there, 0)
    displaced = (found.scores * (1 - scene.overlaps)).where(beside, 0)
    suspects = []
    for index in beside.any(1).nonzero().flatten().tolist():
        p, place = label_score[index].max().item(), displaced[index].argmax().item()
        label, box = scene.labels[index].item(), tuple(scene.boxes[index].tolist())
        norm = (1 - p) * displaced[index, place].item()
        seen = tuple(found.bboxes[place].tolist())
        score = found.scores[place].item()
        suspects.append(Suspect(*image_of(sample), box, label, p, label, score, norm, seen))
    return suspects


def unannotated_suspects(sample: DetDataSample) -> list[Suspect]:
    """Every detection where nothing is annotated; g is its score, as p* is 0.

    A detection that shows the place of a badly placed object is left out.
    """
    scene, found = _Scene.of(sample), sample.pred_instances
    free = (scene.overlaps < ELSEWHERE).all(0) & ~scene.beside().any(0)
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
        Suspect(*image_of(sample), tuple(box), None, 0.0, label, score, score)
        for box, label, score in zip(*map(Tensor.tolist, columns))
    ]


def worst(suspects: list[Suspect], count: int) -> list[Suspect]:
    """The suspects with the largest gradient norms, largest first."""
    return sorted(suspects, key=lambda each: -each.gradient_norm)[:count]


@dataclass(frozen=True)
class _Scene:
    """The annotations and the detections of a picture.

    Attributes:
        boxes: Annotated, in pixels of the file, shape (objects, 4).
        labels: Their class indices, shape (objects,).
        overlaps: IoU of objects and detections, shape (objects, detections).
        nearest: Whether a detection overlaps no other object more, bool, of that shape.
        of_class: Whether a detection is of the object's class, bool, of that shape.
        found: The detections.
    """

    boxes: Tensor
    labels: Tensor
    overlaps: Tensor
    nearest: Tensor
    of_class: Tensor
    found: InstanceData

    @classmethod
    def of(cls, sample: DetDataSample) -> _Scene:
        found = sample.pred_instances
        boxes = _in_file_pixels(sample, sample.gt_instances)
        labels = sample.gt_instances.labels.to(boxes.device)
        overlaps = bbox_overlaps(boxes, get_box_tensor(found.bboxes))
        nearest = torch.zeros_like(overlaps, dtype=torch.bool)
        if len(boxes):
            nearest.scatter_(0, overlaps.argmax(0, keepdim=True), True)
        of_class = labels.unsqueeze(1) == found.labels
        return cls(boxes, labels, overlaps, nearest, of_class, found)

    def beside(self) -> Tensor:
        """Whether a detection may be the object, beside its box: bool, (objects, detections)."""
        near = (self.overlaps >= BESIDE) & (self.overlaps < SAME_OBJECT)
        return near & self.nearest & self.of_class

    def best_scores(self, matches: Tensor, num_classes: int) -> Tensor:
        """Highest score x match of each class among the detections, shape (objects, C).

        ``matches`` is bool or in [0, 1], of shape (objects, detections).
        """
        values = self.found.scores * matches
        table = values.new_zeros(len(matches), num_classes)
        return table.scatter_reduce(1, self.found.labels.expand_as(matches), values, 'amax')


def _of_objects(
    sample: DetDataSample,
    scene: _Scene,
    label_score: Tensor,
    other: Tensor,
    other_score: Tensor,
    norm: Tensor,
) -> list[Suspect]:
    """A suspect for each annotated object, of tensors of shape (objects,)."""
    columns = (scene.boxes, scene.labels, label_score, other, other_score, norm)
    return [
        Suspect(*image_of(sample), tuple(box), label, score, believed if p else None, p, g)
        for box, label, score, believed, p, g in zip(*map(Tensor.tolist, columns))
    ]


def image_of(sample: DetDataSample) -> tuple[int, str, tuple[int, int]]:
    """Id, path, and height and width of a picture: the first fields of a suspect."""
    return sample.img_id, sample.img_path, tuple(sample.ori_shape[:2])


def _in_file_pixels(sample: DetDataSample, instances: object) -> Tensor:
    device = sample.pred_instances.bboxes.device
    if instances is None:
        return torch.zeros(0, 4, device=device)
    boxes = get_box_tensor(instances.bboxes).to(device)
    return boxes / boxes.new_tensor(sample.scale_factor).repeat(2)
