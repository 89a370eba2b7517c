"""Suspects as a COCO annotation file, tied to the annotations of the data set that they are of."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

from ghm_mmdet.datasets.coco_file import free_id, is_ignored

from .label_errors import Suspect

SAME_BOX = 1.0  # pixels that a box may be off after it was resized and back


def coco_of_suspects(
    suspects: Sequence[Suspect],
    classes: Sequence[str],
    annotated: dict | None = None,
    image_folder: str = '',
) -> dict:
    """The content of a COCO annotation file with one annotation for each suspect.

    An annotated object keeps its category and, where it is found in the data set's own file, its
    id. An object that nobody annotated gets the category that the model sees. What the model thinks
    is in ``gradient_norm``, ``label_score``, ``believed_category_id`` and ``believed_score``, and
    where it sees a badly placed one in ``believed_bbox``.

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
    images, annotations = {}, []
    for number, each in enumerate(suspects, start=free_id(entries)):
        height, width = each.image_shape
        name = os.path.relpath(each.image_path, image_folder or None)
        images[each.image_id] = dict(id=each.image_id, file_name=name, height=height, width=width)
        found = _take(known[each.image_id], each, numbers)
        annotations.append(_annotation(each, numbers, number if found is None else found))
    categories = [dict(id=number, name=name) for number, name in zip(numbers, classes)]
    return dict(images=[*images.values()], categories=categories, annotations=annotations)


def _annotation(suspect: Suspect, numbers: list[int], number: int | str) -> dict:
    bbox = _coco_box(suspect.box)
    believed = None if suspect.believed is None else numbers[suspect.believed]
    annotation = {
        'id': number,
        'image_id': suspect.image_id,
        'category_id': believed if suspect.label is None else numbers[suspect.label],
        'bbox': bbox,
        'area': round(bbox[2] * bbox[3], 2),
        'iscrowd': 0,
        'gradient_norm': round(suspect.gradient_norm, 4),
        'label_score': round(suspect.label_score, 4),
        'believed_category_id': believed,
        'believed_score': round(suspect.believed_score, 4),
    }
    if suspect.believed_box is not None:
        annotation['believed_bbox'] = _coco_box(suspect.believed_box)
    return annotation


def _coco_box(box: Sequence[float]) -> list[float]:
    """A box of two corners as x, y, width and height."""
    x1, y1, x2, y2 = box
    return [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]


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
