"""A data set in numbers: pictures, objects, classes, and what is not trained on."""

from __future__ import annotations

import numpy as np

from ghm_mmdet.datasets.splits import Split

SMALL, LARGE = 32**2, 96**2
"""Square pixels between COCO's small, medium and large objects."""


def split_statistics(split: Split) -> dict[str, object]:
    """Numbers of one data set, all of them plain Python's.

    Objects are the annotations that MMDetection trains on; of a data set that is only predicted on,
    those that it would.
    """
    table, objects = split.table, split.trained_on
    of_picture = np.bincount(table.image[objects], minlength=len(table.image_ids))[split.rows]
    areas = table.areas[objects]
    listed = table.is_of(split.classes)
    counts = np.bincount(table.category[objects], minlength=len(table.category_ids))
    of_class = dict(zip(table.category_ids, counts.tolist(), strict=True))
    left_out = {key: int((mask & listed).sum()) for key, mask in table.left_out().items()}
    return {
        'name': split.name,
        'file': table.path,
        'folder': split.folder,
        'pictures': len(table.image_ids),
        'pictures used': len(split.rows),
        'pictures without objects': int((of_picture == 0).sum()),
        'objects': int(objects.sum()),
        'objects of a picture': _range(of_picture),
        'small objects': int((areas < SMALL).sum()),
        'medium objects': int(((areas >= SMALL) & (areas < LARGE)).sum()),
        'large objects': int((areas >= LARGE).sum()),
        'picture widths': _range(table.sizes[split.rows, 0]),
        'picture heights': _range(table.sizes[split.rows, 1]),
        'not trained on': {key: count for key, count in left_out.items() if count},
        'other categories': int((~listed).sum()),
        'classes': {label: of_class.get(label, 0) for label in split.classes},
    }


def _range(values: np.ndarray) -> list[float] | None:
    """Smallest, median and largest; None of nothing."""
    if not len(values):
        return None
    return [float(values.min()), float(np.median(values)), float(values.max())]
