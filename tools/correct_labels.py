"""Write a COCO file in which labels that a trained detector contradicts get the detector's class.

For data with many wrong labels: train, let the detector judge the labels that it was trained with,
and train again on the new file. It needs a report by tools/analyze_gradients.py --worst N, with N
at least the number of objects. It also changes some right labels of hard objects. If most labels
are right, look at the pictures in the report instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.datasets.coco_file import (
    CocoFile,
    indent_of,
    read_coco_file,
    write_new_json,
)
from ghm_mmdet.datasets.coco_table import CocoTable
from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.method.arguments import check_interval

LIST = 'worst_labels'
PRINTED = 20  # changes
ROUNDED = 1e-3  # how far numbers of a report may be off


def main(arguments: Sequence[str] | None = None) -> None:
    """Correct the file that the arguments name, by default those of the command line."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        annotated = read_coco_file(args.source)
        content, judged, changes = corrected_file(annotated, args.worst, args.above)
        write_new_json(Path(args.out), content, indent_of(args.source))
    objects = CocoTable(annotated).is_trained_on(annotated.categories).sum()
    if judged < objects:
        print(
            f'{args.worst}: only {judged} of {objects} labels were judged; make the report with '
            f'--worst {objects}, and without --images',
            file=sys.stderr,
        )
    for line in changes[:PRINTED]:
        print(line)
    if len(changes) > PRINTED:
        print(f'... and {len(changes) - PRINTED} more')
    print(
        f'{args.out}: {len(annotated.annotations)} annotations, {judged} judged, {len(changes)} '
        'with another class'
    )


def corrected_file(annotated: CocoFile, worst: str, above: float) -> tuple[dict, int, list[str]]:
    """A COCO file with the classes that a detector sees.

    A changed annotation keeps its original category as ``annotated_category_id``.

    Args:
        annotated: Annotation file that the detector was trained with.
        worst: ``worst_labels.json`` of its report.
        above: Labels with a larger gradient norm are changed.

    Returns:
        Its content, how many annotations were judged, and a line for each change, the surest
        first.

    Raises:
        ConfigError: ``above`` is out of range.
        DataError: The second file is not in COCO format, not about the first, or another list.
    """
    try:
        check_interval('--above', above, '[0, 1]')
    except ValueError as error:
        raise ConfigError(str(error)) from None
    suspects = _suspects(read_coco_file(worst), annotated)
    believed = {
        number: each['believed_category_id']
        for number, each in suspects.items()
        if each['believed_category_id'] is not None and each['gradient_norm'] > above
    }
    corrected = [_corrected(each, believed) for each in annotated.annotations]
    pairs = zip(annotated.annotations, corrected)
    changed = [pair for pair in pairs if pair[0]['category_id'] != pair[1]['category_id']]
    norm = {number: each['gradient_norm'] for number, each in suspects.items()}
    changed.sort(key=lambda pair: -norm[pair[0]['id']])
    names = {number: name for name, number in annotated.categories.items()}
    lines = [
        f'id {old["id"]}, {annotated.images[old["image_id"]]["file_name"]}: '
        f'{names[old["category_id"]]} -> {names[new["category_id"]]}, g {norm[old["id"]]:.3f}'
        for old, new in changed
    ]
    return {**annotated.content, 'annotations': corrected}, len(suspects), lines


def _corrected(annotation: dict, believed: Mapping[int | str, int | str]) -> dict:
    """An annotation with the category of its id in ``believed``, if there is one."""
    if annotation['id'] not in believed:
        return annotation
    first = annotation.get('annotated_category_id', annotation['category_id'])
    category = believed[annotation['id']]
    return {**annotation, 'category_id': category, 'annotated_category_id': first}


def _suspects(worst: CocoFile, annotated: CocoFile) -> dict[int | str, dict]:
    """By the id of the annotation; entries without an annotation in the file are left out."""
    _check_list(worst)
    if not worst.categories.items() <= annotated.categories.items():
        raise DataError(
            f'{worst.path}: has other categories than {annotated.path}; name the report '
            'on that file'
        )
    objects = {each['id']: each for each in annotated.annotations}
    known = {each['id']: each for each in worst.annotations if each['id'] in objects}
    if not known:
        raise DataError(
            f'{worst.path}: has none of the annotations of {annotated.path}; the report is about '
            'another part: name the file of its --split'
        )
    for number, each in known.items():
        _check_judgement(worst, each)
        if any(each[key] != objects[number][key] for key in ('image_id', 'category_id')):
            raise DataError(
                f'{worst.path}: annotation {number} has another image or category than in '
                f'{annotated.path}; must be about the same labels: name the file of its --split, '
                'as it was then'
            )
    return known


def _check_list(worst: CocoFile) -> None:
    """Refuse the report's other lists, whose numbers are not those of labels."""
    info = worst.content.get('info')
    name = info.get('list') if isinstance(info, dict) else None
    if name is None and not all(map(_has_g_of_a_label, worst.annotations)):
        name = 'another list'  # saved by a program that leaves info out
    if name not in (None, LIST):
        raise DataError(
            f'{worst.path}: is {name}, which does not judge classes; name {LIST}.json of the report'
        )


def _has_g_of_a_label(suspect: dict) -> bool:
    """Whether the gradient norm is that of a label, as far as its scores are there."""
    scores = [suspect.get(key) for key in ('gradient_norm', 'label_score', 'believed_score')]
    if not all(isinstance(each, Real) for each in scores):
        return True
    norm, label, other = scores
    return abs(norm - (1 - label + other) / 2) <= ROUNDED


def _check_judgement(worst: CocoFile, suspect: dict) -> None:
    norm, believed = suspect.get('gradient_norm'), suspect.get('believed_category_id')
    if not isinstance(norm, Real) or believed not in (None, *worst.categories.values()):
        raise DataError(
            f'{worst.path}: annotation {suspect["id"]} has gradient_norm={norm!r} and '
            f'believed_category_id={believed!r}; must be a number, and a category or null, as '
            'tools/analyze_gradients.py writes them'
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='FILE', help='annotation file in COCO format')
    parser.add_argument(
        'worst', metavar='WORST', help='worst_labels.json of a report on the same file'
    )
    parser.add_argument('out', metavar='OUT', help='file to write; it must not be there yet')
    parser.add_argument(
        '--above',
        type=float,
        default=0.5,
        metavar='G',
        help='change labels whose gradient norm is larger; default: 0.5, from where on the '
        'detector has a higher score for another class',
    )
    add_debug(parser)
    return parser


if __name__ == '__main__':
    main()
