"""Planted annotation errors: wrong labels, missing, shifted and bogus boxes, and where they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from pycocotools import mask

from ghm_mmdet.datasets.coco_file import free_id, is_ignored

SHIFT = (0.3, 0.5)  # length of a shift, in widths and heights of the box
CLEAR = 0.1  # IoU with every other box below which nothing is at a place
TRIES = 1000  # places that are tried for a bogus box


def plant_errors(
    annotations: list[dict],
    category_ids: list[int],
    label_noise: float,
    missing: float,
    rng: np.random.Generator,
    shifted: float = 0.0,
    images: Mapping[int | str, dict] | None = None,
) -> tuple[list[dict], list[dict]]:
    """Corrupts COCO annotations on purpose.

    Crowds and ignored regions stay as they are. No object gets two errors, and a larger fraction
    keeps the errors of a smaller one, so that runs with more noise are comparable; of shifted
    boxes this holds where as many are missing.

    Args:
        annotations: Correct annotations; they are not modified.
        category_ids: All categories a wrong label is drawn from, those of all objects among them.
        label_noise: Fraction of the objects whose `category_id` becomes a wrong one.
        missing: Fraction of the objects that are left out.
        rng: Chooses the objects, the wrong labels and the shifts.
        shifted: Fraction of the objects whose `bbox` is moved, see `_shifted`. The three sum to 1
            at most.
        images: By id, with their width and height; only needed for shifted boxes.

    Returns:
        The corrupted annotations, in which each mislabelled object has the extra key
        `true_category_id` and each shifted one `true_bbox`; and the annotations that were left out.
    """
    # by place, as ids may be numbers and text in one file
    objects = [place for place, ann in enumerate(annotations) if not is_ignored(ann)]
    order = [objects[index] for index in rng.permutation(len(objects)).tolist()]
    # a single category has no wrong label, and may still miss boxes
    steps = rng.integers(1, max(len(category_ids), 2), len(order)).tolist()
    moves = rng.uniform((SHIFT[0], 0), (SHIFT[1], 2 * np.pi), (len(order), 2)).tolist()
    first_shifted = round(missing * len(order))
    left_out = set(order[:first_shifted])
    end = first_shifted + round(shifted * len(order))
    first_wrong = len(order) - round(label_noise * len(order))
    move_of = dict(zip(order[first_shifted : min(end, first_wrong)], moves[first_shifted:]))
    step_of = dict(zip(order[first_wrong:], steps[first_wrong:]))

    def corrupted(place: int, ann: dict) -> dict:
        if place in move_of:
            return _shifted(ann, *move_of[place], images[ann['image_id']])
        if place not in step_of:
            return ann
        true = ann['category_id']
        wrong = category_ids[(category_ids.index(true) + step_of[place]) % len(category_ids)]
        return {**ann, 'category_id': wrong, 'true_category_id': true}

    numbered = list(enumerate(annotations))
    kept = [corrupted(place, ann) for place, ann in numbered if place not in left_out]
    return kept, [ann for place, ann in numbered if place in left_out]


def _shifted(annotation: dict, length: float, angle: float, image: dict) -> dict:
    """The annotation with its box moved into a direction, by 0.3 to 0.5 of its size.

    In widths and heights of the box, the move is a vector of that length: the IoU with the true box
    is 0.26 to 0.54. A side that would leave the picture moves the other way, and is clipped if it
    leaves it there, too, which makes the IoU larger. Area and outline stay those of the truth.

    Args:
        annotation: With a `bbox` of x, y, width and height in pixels.
        length: In sizes of the box.
        angle: In radians.
        image: With its `width` and `height` in pixels.
    """
    x, y, width, height = annotation['bbox']
    left, right = _moved(x, width, length * np.cos(angle), image['width'])
    top, bottom = _moved(y, height, length * np.sin(angle), image['height'])
    box = [round(float(value), 2) for value in (left, top, right - left, bottom - top)]
    return {**annotation, 'bbox': box, 'true_bbox': annotation['bbox']}


def _moved(start: float, size: float, share: float, limit: float) -> tuple[float, float]:
    """Start and end of an interval that moves by a share of its size inside [0, limit]."""
    moved = start + share * size
    if not 0 <= moved <= limit - size:
        moved = start - share * size
    return max(moved, 0), min(moved + size, limit)


def bogus_boxes(
    annotations: Sequence[dict],
    taken: Sequence[dict],
    images: Mapping[int | str, dict],
    category_ids: Sequence[int],
    count: int,
    rng: np.random.Generator,
) -> list[dict]:
    """Annotations where nothing is, each with the extra key `bogus`.

    A bogus box has the size of an object that is drawn at random, a random class, and a random
    place in a random picture at which its IoU with every other box is below 0.1, that of a crowd,
    of an object without a box and of an earlier bogus box included. More of them have the fewer
    ones among them.

    Args:
        annotations: Correct annotations, which give sizes and keep their places.
        taken: Annotations as they are corrupted, whose places stay free, too.
        images: By id, with their width and height in pixels.
        category_ids: All categories that a class is drawn from.
        count: How many to make; their ids follow the largest number there is.
        rng: Draws them.

    Raises:
        ValueError: There is no room for one.
    """
    sizes = [each['bbox'][2:] for each in annotations if not is_ignored(each)]
    boxes = defaultdict(list)
    for each in (*annotations, *taken):
        boxes[each['image_id']].append(each['bbox'])
    numbers = list(images)
    first = free_id(annotations)
    made = []
    for number in range(first, first + count if sizes else first):
        image, box = _free_place(boxes, sizes, images, numbers, rng)
        boxes[image].append(box)
        category = category_ids[int(rng.integers(len(category_ids)))]
        made.append(
            {
                'id': number,
                'image_id': image,
                'category_id': category,
                'bbox': box,
                'area': box[2] * box[3],
                'iscrowd': 0,
                'bogus': True,
            }
        )
    return made


def _free_place(
    boxes: Mapping[int | str, Sequence[Sequence[float]]],
    sizes: Sequence[Sequence[float]],
    images: Mapping[int | str, dict],
    numbers: Sequence[int | str],
    rng: np.random.Generator,
) -> tuple[int | str, list[float]]:
    """A picture's id, and a box of one of the sizes in it that overlaps no other one."""
    for _ in range(TRIES):
        image = numbers[int(rng.integers(len(numbers)))]
        width, height = sizes[int(rng.integers(len(sizes)))]
        room = images[image]['width'] - width, images[image]['height'] - height
        x, y = (round(float(share * max(free, 0)), 2) for share, free in zip(rng.random(2), room))
        box = [x, y, width, height]
        if min(room) >= 0 and all(iou(box, other) < CLEAR for other in boxes[image]):
            return image, box
    raise ValueError(f'no room for a bogus box in {TRIES} places; plant fewer')


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two boxes as x, y, width and height."""
    boxes = (np.array([each], dtype=float) for each in (one, other))
    return float(mask.iou(*boxes, [False])[0, 0])
