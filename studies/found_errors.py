"""Counts planted errors of the wanted kind among the first entries of a ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from demo.planted_errors import iou
from tools.gradient_report.label_errors import Suspect, worst
from tools.gradient_report.suspect_file import coco_of_suspects

RECORDS = {'swapped': 'true_category_id', 'shifted': 'true_bbox', 'bogus': 'bogus'}
FOUND = 0.5  # IoU with a left-out object from which an entry names this object
RANKS = (50, 100)
MEASURES = (*(f'precision at {rank}' for rank in RANKS), 'recall')


def found(suspects: Sequence[Suspect], kind: str, content: Mapping) -> dict[str, float]:
    """Precision at 50 and at 100, and recall at the number of planted errors of the kind.

    An object that is named twice counts once.

    Args:
        suspects: In any order; a larger ``gradient_norm`` comes first.
        kind: Of error: one of ``RECORDS``, or 'missing'.
        content: Of the annotation file with the record of the planted errors.
    """
    planted = (
        len(content['missing_annotations'])
        if kind == 'missing'
        else sum(RECORDS[kind] in each for each in content['annotations'])
    )
    classes = [each['name'] for each in content['categories']]
    first = worst(list(suspects), max(*RANKS, planted))
    entries = coco_of_suspects(first, classes, content)['annotations']
    hits = _missing_hits(entries, content) if kind == 'missing' else _hits(entries, kind, content)
    shares = [sum(hits[:rank]) / rank for rank in RANKS]
    return dict(zip(MEASURES, (*shares, sum(hits[:planted]) / max(planted, 1))))


def _hits(entries: Sequence[dict], kind: str, content: Mapping) -> list[bool]:
    planted = {each['id'] for each in content['annotations'] if RECORDS[kind] in each}
    return [each['id'] in planted for each in entries]


def _missing_hits(entries: Sequence[dict], content: Mapping) -> list[bool]:
    left_out = defaultdict(list)
    for each in content['missing_annotations']:
        left_out[each['image_id']].append(each['bbox'])
    hits = []
    for entry in entries:
        candidates = left_out[entry['image_id']]
        best = max(candidates, key=lambda box: iou(box, entry['bbox']), default=None)
        hit = best is not None and iou(best, entry['bbox']) >= FOUND
        if hit:
            candidates.remove(best)
        hits.append(hit)
    return hits
