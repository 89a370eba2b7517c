"""Checks that COCO's metric and the data sets that it judges agree."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from ghm_mmdet.datasets.coco_table import CocoTable
from ghm_mmdet.datasets.findings import Findings
from ghm_mmdet.datasets.splits import Split, check_categories
from ghm_mmdet.datasets.surprises import warn_of_judging


def is_remote(config: Mapping) -> bool:
    """Whether a data set or metric reads from elsewhere than a local disk."""
    backend = (config.get('backend_args') or {}).get('backend', 'local')
    paths = (str(config.get(key, '')) for key in ('data_root', 'ann_file'))
    return backend != 'local' or any('://' in path for path in paths)


def check_metric(
    evaluator: Mapping,
    name: str,
    splits: Sequence[Split],
    table_of: Callable[[str], CocoTable | None],
    findings: Findings,
) -> None:
    """Check that COCO's metric has valid annotations, for the pictures that are predicted on.

    Args:
        evaluator: The config of a ``CocoMetric``.
        name: Its place in the config.
        splits: The data sets that it judges.
        table_of: Reads an annotation file, None if it cannot be read.
        findings: Where errors and warnings go.
    """
    _check_ids_of_splits(name, splits, findings)
    path = evaluator.get('ann_file')
    if not isinstance(path, str) or is_remote(evaluator):
        return
    table = table_of(path)
    if table is None:
        return
    place = f'{name}.ann_file={path!r}'
    _check_evaluation(table, evaluator, place, findings)
    known = dict(zip(table.image_ids, table.file_names))
    for split in splits:
        _check_coverage(known, split, place, findings)
        # for the metric, label i is the i-th of its file's categories that are classes
        check_categories(split, table, place, table.category_ids, findings)
        warn_of_judging(table, split.classes, findings)
    judged = {split.table.image_ids[row] for split in splits for row in split.rows}
    left = len(known) - len(judged.intersection(known))
    if splits and left:
        findings.warn(
            f'{place}: has {left} of {len(known)} pictures that are not predicted on; the objects '
            'on them count as missed, so that AP is too low: leave out indices, or '
            'name a file of the same pictures'
        )


def _check_ids_of_splits(name: str, splits: Sequence[Split], findings: Findings) -> None:
    """Check that data sets of one metric have no picture id in common."""
    ids = Counter(split.table.image_ids[row] for split in splits for row in split.rows)
    repeated = [key for key, count in ids.items() if count > 1]
    if repeated:
        files = [split.table.path for split in splits]
        findings.error(
            f'{name}: {len(repeated)} image ids stand for more than one picture in {files}, such '
            f'as {repeated[0]!r}; must be unique in all that one metric judges: give the second '
            'file other ids, or evaluate the files one by one'
        )


def _check_evaluation(table: CocoTable, evaluator: Mapping, place: str, findings: Findings) -> None:
    """Find entries at which pycocotools fails, or which it counts wrongly."""
    for what, ids in (('annotation', table.annotation_ids), ('category', table.category_ids)):
        texts = [key for key in (ids.values() if isinstance(ids, dict) else ids) if _is_text(key)]
        if texts:
            findings.error(
                f'{place}: {what} ids must be integers, as pycocotools fails at a text such as '
                f'{texts[0]!r}; number them 1, 2, 3 ...'
            )
    for what, ids in (('image', table.image_ids), ('category', table.category_ids.values())):
        _check_range(what, [key for key in ids if not _is_text(key)], place, findings)
    kinds = {_is_text(key) for key in table.image_ids}
    if len(kinds) > 1:
        findings.error(
            f'{place}: image ids must be all integers or all texts, as pycocotools cannot match '
            'a mixture; number them 1, 2, 3 ...'
        )
    if table.without_crowd_flag:
        findings.error(
            f"{place}: not every annotation has 'iscrowd' (0 or 1), which COCO's metric needs: "
            f'{len(table.without_crowd_flag)} have not, such as annotation '
            f'{table.without_crowd_flag[0]!r}; write iscrowd=0 into them'
        )
    wanted = evaluator.get('metric', 'bbox')
    if 'segm' in ([wanted] if isinstance(wanted, str) else wanted) and table.without_mask:
        findings.error(
            f'{place}: {len(table.without_mask)} annotations have no segmentation that can be '
            f"read, such as {table.without_mask[0]!r}; metric='segm' needs polygons of three "
            "points or more, or RLE: without masks use metric='bbox'"
        )


def _check_range(what: str, ids: Sequence[int], place: str, findings: Findings) -> None:
    """Check that ids fit into int64; NumPy turns other ids into floating-point numbers."""
    largest = max(ids, key=abs, default=0)
    if largest >= 2**63:
        findings.error(
            f'{place}: {what} id {largest} is too large: pycocotools rounds such ids and leaves '
            'their entries out of the evaluation; number them 1, 2, 3 ...'
        )
    elif abs(largest) > 2**53:
        findings.warn(
            f'{place}: {what} id {largest} is above 2^53, where programs that keep numbers in '
            'floating point confuse different ids; number them 1, 2, 3 ...'
        )


def _is_text(key: object) -> bool:
    return isinstance(key, str)


def _check_coverage(
    known: Mapping[int | str, str], split: Split, place: str, findings: Findings
) -> None:
    handed_out = [(split.table.image_ids[row], split.table.file_names[row]) for row in split.rows]
    absent = [key for key, _ in handed_out if key not in known]
    if absent:
        findings.error(
            f'{place}: lacks {len(absent)} images of {split.table.path}, such as id {absent[0]}; '
            f'must cover all images of {split.name}: name the file that has them'
        )
        return
    others = [
        (key, name)
        for key, name in handed_out
        if os.path.basename(known[key]) != os.path.basename(name)
    ]
    if others:
        key, name = others[0]
        findings.error(
            f'{place}: {len(others)} image ids stand for other pictures than in '
            f'{split.table.path}, such as id {key!r}, {known[key]} there and {name} here; must be '
            'the same: name the file that the data set has'
        )
