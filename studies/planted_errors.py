"""Planted annotation errors: wrong labels and missing boxes, and the record of where they are."""

from __future__ import annotations

import numpy as np

from ghm_mmdet.datasets.coco_file import is_ignored


def plant_errors(
    annotations: list[dict],
    category_ids: list[int],
    label_noise: float,
    missing: float,
    rng: np.random.Generator,
) -> tuple[list[dict], list[dict]]:
    """Corrupts COCO annotations on purpose.

    Crowds and ignored regions stay as they are. No object gets both errors, and a larger fraction
    keeps the errors of a smaller one, so that runs with more noise are comparable.

    Args:
        annotations: Correct annotations; they are not modified.
        category_ids: All categories a wrong label is drawn from, those of all objects among them.
        label_noise: Fraction of the objects whose `category_id` becomes a wrong one.
        missing: Fraction of the objects that are left out. The two sum to 1 at most.
        rng: Chooses the objects and the wrong labels.

    Returns:
        The corrupted annotations, in which each mislabelled object has the extra key
        `true_category_id`; and the annotations that were left out.
    """
    # by place, as ids may be numbers and text in one file
    objects = [place for place, ann in enumerate(annotations) if not is_ignored(ann)]
    order = [objects[index] for index in rng.permutation(len(objects)).tolist()]
    # a single category has no wrong label, and may still miss boxes
    shifts = rng.integers(1, max(len(category_ids), 2), len(order)).tolist()
    left_out = set(order[: round(missing * len(order))])
    first_wrong = len(order) - round(label_noise * len(order))
    shift_of = dict(zip(order[first_wrong:], shifts[first_wrong:]))

    def mislabel(place: int, ann: dict) -> dict:
        if place not in shift_of:
            return ann
        true = ann['category_id']
        shifted = category_ids.index(true) + shift_of[place]
        wrong = category_ids[shifted % len(category_ids)]
        return {**ann, 'category_id': wrong, 'true_category_id': true}

    numbered = list(enumerate(annotations))
    kept = [mislabel(place, ann) for place, ann in numbered if place not in left_out]
    return kept, [ann for place, ann in numbered if place in left_out]
