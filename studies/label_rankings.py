"""Annotations ranked by how likely they are wrong: the report, cleanlab and loss inspection.

A ranking is a list of suspects; the larger its ``gradient_norm``, the more suspicious a suspect is.
cleanlab is imported where it is used, so that the other rankings do not need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from studies.loss_inspection import InspectedLosses, inspect_losses
from tools.gradient_report.label_errors import (
    Suspect,
    annotated_suspects,
    badly_placed_suspects,
    image_of,
    unannotated_suspects,
    unseen_suspects,
)

Seen = Sequence[tuple[DetDataSample, InspectedLosses]]
"""Each picture with its annotations and detections, and the losses on it."""
Rankings = dict[str, list[Suspect]]
"""Unsorted suspects by the kind of error that they are looked for."""

KINDS = ('swapped', 'shifted', 'missing', 'bogus')


@torch.no_grad()
def look_at(model: nn.Module, batches: Iterable[dict]) -> Seen:
    """What a detector sees in a data set; it is put into eval mode."""
    model.eval()
    seen = []
    for batch in batches:
        data = model.data_preprocessor(batch, training=False)
        losses = inspect_losses(model, data)
        seen += zip(model(**data, mode='predict'), losses)
    return seen


def report_rankings(seen: Seen, num_classes: int) -> Rankings:
    """The lists of the report."""
    samples = [sample for sample, _ in seen]
    return {
        'swapped': [each for one in samples for each in annotated_suspects(one, num_classes)],
        'shifted': [each for one in samples for each in badly_placed_suspects(one)],
        'missing': [each for one in samples for each in unannotated_suspects(one)],
        'bogus': [each for one in samples for each in unseen_suspects(one, num_classes)],
    }


def loss_rankings(seen: Seen, num_classes: int) -> Rankings:
    """The losses of objects, and for missing boxes those of the background."""
    by_loss: Rankings = {kind: [] for kind in KINDS}
    for sample, losses in seen:
        objects = annotated_suspects(sample, num_classes)
        for kind in ('swapped', 'bogus'):
            by_loss[kind] += _scored(objects, losses.classification)
        by_loss['shifted'] += _scored(objects, losses.boxes)
        entries = (losses.background, losses.background_labels, losses.background_losses)
        by_loss['missing'] += _free(sample, *entries)
    return by_loss


def cleanlab_rankings(
    seen: Seen, num_classes: int, low: float | None = None, high: float | None = None
) -> Rankings:
    """1 - the box scores of cleanlab's object detection.

    It has no score for bogus boxes: they are ranked by its score of badly placed boxes. Boxes
    without a score come last.

    Args:
        seen: Of a data set.
        num_classes: C.
        low: Score from which a detection may show a badly placed box; cleanlab's default is 0.5.
        high: The same for swapped labels and missing boxes; cleanlab's default is 0.95.
    """
    from cleanlab.object_detection import rank

    lowest = min(0.5 if low is None else low, 0.95 if high is None else high)
    detections = [_sorted_detections(sample, lowest) for sample, _ in seen]
    objects = [annotated_suspects(sample, num_classes) for sample, _ in seen]
    inputs = dict(
        labels=[_labels(each) for each in objects],
        predictions=[_by_class(each, num_classes) for each in detections],
    )
    swapped = rank.compute_swap_box_scores(**inputs, high_probability_threshold=high)
    placed = rank.compute_badloc_box_scores(**inputs, low_probability_threshold=low)
    missing = rank.compute_overlooked_box_scores(**inputs, high_probability_threshold=high)

    def of_objects(scores: list[np.ndarray]) -> list[Suspect]:
        pairs = zip(objects, scores)
        return [each for of_one, score in pairs for each in _scored(of_one, _suspicion(score))]

    return {
        'swapped': of_objects(swapped),
        'shifted': of_objects(placed),
        'missing': [
            each
            for (sample, _), found, scores in zip(seen, detections, missing)
            for each in _free(sample, found.bboxes, found.labels, _suspicion(scores))
        ],
        'bogus': of_objects(placed),
    }


def _suspicion(scores: np.ndarray) -> Tensor:
    return torch.from_numpy(1 - np.nan_to_num(scores.astype(float), nan=1.0))


def _sorted_detections(sample: DetDataSample, lowest: float):
    """Detections by class, as cleanlab numbers them; cleanlab's scores do not use lower ones."""
    found = sample.pred_instances
    found = found[found.scores >= lowest]
    return found[found.labels.argsort(stable=True)]


def _labels(objects: Sequence[Suspect]) -> dict[str, np.ndarray]:
    boxes = np.array([each.box for each in objects], dtype=float).reshape(-1, 4)
    return {'bboxes': boxes, 'labels': np.array([each.label for each in objects], dtype=int)}


def _by_class(found, num_classes: int) -> list[np.ndarray]:
    """Boxes and scores of each class, shapes (detections of it, 5)."""
    table = torch.cat([found.bboxes, found.scores.unsqueeze(1)], 1).double().numpy()
    labels = found.labels.numpy()
    return [table[labels == index] for index in range(num_classes)]


def _scored(objects: Sequence[Suspect], scores: Tensor) -> list[Suspect]:
    return [replace(each, gradient_norm=score) for each, score in zip(objects, scores.tolist())]


def _free(sample: DetDataSample, boxes: Tensor, labels: Tensor, scores: Tensor) -> list[Suspect]:
    """Suspects that nobody annotated, of tensors with one entry for each."""
    return [
        Suspect(*image_of(sample), tuple(box), None, 0.0, label, 0.0, score)
        for box, label, score in zip(boxes.tolist(), labels.tolist(), scores.tolist())
    ]
