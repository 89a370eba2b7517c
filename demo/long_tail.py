"""Makes classes rare in annotations, without a change of the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ghm_mmdet.datasets.coco_file import is_ignored


def long_tail(
    annotations: Sequence[dict], category_ids: Sequence[int], ratio: float, rng: np.random.Generator
) -> list[dict]:
    """COCO annotations in which each class has fewer objects than the one before.

    Of C classes, class c (from 0) keeps the share ratio ** (-c / (C - 1)) of its objects, at least
    one. The others become crowds, which are neither an object nor background in training. A larger
    ratio keeps no object that a smaller one does not keep.

    Args:
        annotations: They are not modified.
        category_ids: The classes, from the frequent to the rare.
        ratio: Share of the first class over that of the last, at least 1.
        rng: Chooses the objects that remain.
    """
    steps = max(len(category_ids) - 1, 1)
    crowds = set()
    for step, category in enumerate(category_ids):
        places = [
            place
            for place, each in enumerate(annotations)
            if each['category_id'] == category and not is_ignored(each)
        ]
        kept = max(round(len(places) * ratio ** (-step / steps)), 1)
        crowds.update(rng.permutation(places)[kept:].tolist())
    return [
        {**each, 'iscrowd': 1} if place in crowds else each
        for place, each in enumerate(annotations)
    ]
