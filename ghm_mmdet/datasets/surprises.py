"""Warns of legal annotations that MMDetection or COCO's metric treats unexpectedly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ghm_mmdet.datasets.coco_table import CocoTable
from ghm_mmdet.datasets.findings import Findings, listing

REASONS = {
    'ignore': "{} with 'ignore' set{}",
    'iscrowd': '{} with iscrowd=1{} (a single object has 0)',
    'thin': '{} narrower or lower than 1 pixel{} (boxes are in pixels, not fractions)',
    'area': '{} with an area of 0 or less{} (width x height of the box is enough)',
    'outside': '{} outside of their picture{} (is its size right?)',
}
"""Reasons why annotations are not trained on, with their number and an example."""
TOLERANCE = 2.0
"""Pixels by which a box may reach beyond its picture: exporters round."""
BACKGROUND_SHARE = 0.1
"""Share of pictures without objects above which a warning says that they are not used."""
DETECTIONS = 100
"""Detections of a picture that COCO's AP counts, and that MMDetection's detectors keep."""


def warn_of_training(
    table: CocoTable, classes: Sequence[str], filters: Mapping, name: str, findings: Findings
) -> None:
    """Warn of annotations that a training drops or misunderstands.

    Args:
        table: The file.
        classes: Of the training.
        filters: ``filter_cfg`` of the data set.
        name: Of the data set in the config.
        findings: Where the warnings go.
    """
    listed = table.is_of(classes)
    left_out = {key: mask & listed for key, mask in table.left_out().items()}
    _warn_of_left_out(table, left_out, listed, findings)
    trained_on = table.is_trained_on(classes)
    _warn_of_places(table, trained_on, findings)
    _warn_of_lost_pictures(table, trained_on, filters, name, findings)
    counts = np.bincount(table.category[trained_on], minlength=len(table.category_ids))
    labels = zip(table.category_ids, counts)
    absent = [label for label, count in labels if not count and label in classes]
    if absent and trained_on.any():
        findings.warn(
            f'{table.path}: no object of the classes {listing(absent)}; they are never learned '
            'from this file, and have no AP on it: leave them out of metainfo.classes, or add '
            'pictures of them'
        )


def warn_of_judging(table: CocoTable, classes: Sequence[str], findings: Findings) -> None:
    """Warn of annotations that COCO's metric drops or misjudges."""
    listed = table.is_of(classes)
    for key, mask in table.left_out().items():
        unfair = mask & listed
        if key != 'iscrowd' and unfair.any():
            reason = REASONS[key].format(unfair.sum(), _such(table, unfair))
            findings.warn(
                f'{table.path}: {reason}: MMDetection does not train on such objects, and '
                'the metric counts them as missed; correct or remove them'
            )
    if 0 in table.annotation_ids:
        findings.warn(
            f'{table.path}: an annotation has id 0, and pycocotools counts a detection that '
            'matches it as unmatched, so that AP is too low; number annotations from 1'
        )
    objects = np.bincount(table.image[listed & ~table.is_crowd], minlength=len(table.image_ids))
    crowded = np.flatnonzero(objects > DETECTIONS)
    if len(crowded):
        first = crowded[0]
        findings.warn(
            f'{table.path}: {len(crowded)} of {len(objects)} pictures have more than '
            f'{DETECTIONS} objects, such as {table.file_names[first]} with {objects[first]}; the '
            f'metric counts {DETECTIONS} detections of a class in a picture, and '
            'model.test_cfg.max_per_img those of all: the '
            'rest count as missed; cut such pictures into parts'
        )


def warn_of_repetitions(table: CocoTable, findings: Findings) -> None:
    """Warn of pictures that are listed twice, and of repeated annotations."""
    names = Counter(table.file_names)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        findings.warn(
            f'{table.path}: {len(repeated)} of {len(names)} pictures are listed more than once, '
            f'such as {repeated[0]}; each entry is trained on with its own boxes only, and the '
            'others are background there; merge them into one'
        )
    repeats = _repeats(table)
    if len(repeats):
        first = repeats[0]
        findings.warn(
            f'{table.path}: {len(repeats)} of {len(table.annotation_ids)} annotations repeat '
            'another of the same picture, category and box, such as '
            f'{table.annotation_ids[first]!r}; the metric counts one of the two as missed; remove '
            'them'
        )


def _warn_of_left_out(
    table: CocoTable, left_out: Mapping[str, np.ndarray], listed: np.ndarray, findings: Findings
) -> None:
    reasons = [
        REASONS[key].format(mask.sum(), _such(table, mask))
        for key, mask in left_out.items()
        if mask.any()
    ]
    if reasons:
        total = sum(int(mask.sum()) for mask in left_out.values())
        findings.warn(
            f'{table.path}: {total} of {listed.sum()} annotations are not trained on: '
            f'{"; ".join(reasons)}'
        )


def _warn_of_places(table: CocoTable, objects: np.ndarray, findings: Findings) -> None:
    far = table.boxes[:, :2] + table.boxes[:, 2:]
    beyond = np.maximum(-table.boxes[:, :2], far - table.sizes[table.image]).max(axis=1, initial=0)
    reaching = objects & (beyond > TOLERANCE)
    if not reaching.any():
        return
    first = int(np.flatnonzero(reaching)[0])
    width, height = table.sizes[table.image[first]]
    findings.warn(
        f'{table.path}: {reaching.sum()} of {objects.sum()} boxes reach beyond their picture by '
        f'more than {TOLERANCE:g} pixels, such as annotation {table.annotation_ids[first]!r}, '
        f'{table.boxes[first].tolist()} in {width:g} x {height:g}; must be [x, y, width, height] '
        'in pixels of the picture: are they [x1, y1, x2, y2], or of another size?'
    )


def _warn_of_lost_pictures(
    table: CocoTable, objects: np.ndarray, filters: Mapping, name: str, findings: Findings
) -> None:
    """Warn of pictures that MMDetection's filter removes from a training set."""
    total, least = len(table.image_ids), filters.get('min_size', 0)
    small = table.sizes.min(axis=1, initial=np.inf) < least
    lost = small[table.image] & objects
    if lost.any():
        first = int(np.flatnonzero(small)[0])
        findings.warn(
            f'{table.path}: {small.sum()} of {total} pictures are not trained on, with '
            f'{lost.sum()} objects, such as {table.file_names[first]}: a side is below '
            f'{name}.filter_cfg.min_size={least}; set it to 0 to keep them'
        )
    empty = np.bincount(table.image, minlength=total) == 0
    if filters.get('filter_empty_gt') and empty.sum() > BACKGROUND_SHARE * total:
        findings.warn(
            f'{table.path}: {empty.sum()} of {total} pictures have no annotation and are not '
            f'trained on, by {name}.filter_cfg.filter_empty_gt=True; set it to False to train on '
            'them as background'
        )


def _repeats(table: CocoTable) -> np.ndarray:
    """Rows of the annotations that repeat an earlier one."""
    rows = np.column_stack([table.image, table.category, table.is_crowd, table.boxes])
    # compare rows of the same key, because different rows may share it
    key = rows @ np.sqrt([2, 3, 5, 7, 11, 13, 17])
    order = np.argsort(key, kind='stable')
    same = (rows[order[1:]] == rows[order[:-1]]).all(axis=1)
    return np.sort(order[1:][same])


def _such(table: CocoTable, mask: np.ndarray) -> str:
    return f', such as annotation {table.annotation_ids[int(np.flatnonzero(mask)[0])]!r}'
