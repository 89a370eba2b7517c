"""What a reading of data sets has found, as a table and lines, or as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ghm_mmdet.datasets.findings import Findings
from ghm_mmdet.datasets.splits import Split
from ghm_mmdet.datasets.statistics import split_statistics

COUNTS = ('pictures', 'pictures used', 'pictures without objects', 'objects')
RANGES = ('objects of a picture', 'picture widths', 'picture heights')
SIZES = ('small objects', 'medium objects', 'large objects')
REASONS = {
    'ignore': "'ignore' is set",
    'iscrowd': 'iscrowd is 1',
    'thin': 'narrower or lower than a pixel',
    'area': 'area is 0 or less',
    'outside': 'outside of the picture',
}
COLUMN = 24
"""Characters of a column where the table goes to a file, which has no width of its own."""


def print_json(splits: Sequence[Split], findings: Findings) -> None:
    """Print all numbers, errors and warnings as one JSON object."""
    content = dict(
        data_sets=[split_statistics(split) for split in splits],
        errors=findings.errors,
        warnings=findings.warnings,
    )
    print(json.dumps(content, indent=2, ensure_ascii=False))


def print_report(splits: Sequence[Split], findings: Findings) -> None:
    """Print a table with a column for each data set, and then each finding in a line."""
    if splits:
        width = None if sys.stdout.isatty() else 60 + COLUMN * len(splits)
        Console(width=width).print(_table(splits))
    for kind, lines in (('error', findings.errors), ('warning', findings.warnings)):
        for line in lines:
            print(f'{kind}: {line}')
    print(f'{_number(findings.errors, "error")}, {_number(findings.warnings, "warning")}')


def _table(splits: Sequence[Split]) -> Table:
    statistics = [split_statistics(split) for split in splits]
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column('')
    for label in _labels(splits):
        table.add_column(label, justify='right', overflow='fold')

    def add(title: str, values: Sequence[object]) -> None:
        table.add_row(title, *map(_cell, values))

    for key in (*COUNTS, *SIZES):
        add(key, [each[key] for each in statistics])
    for key in RANGES:
        add(f'{key}: median (range)', [each[key] for each in statistics])
    table.add_section()
    for key, reason in REASONS.items():
        counts = [each['not trained on'].get(key, 0) for each in statistics]
        if any(counts):
            add(f'not trained on: {reason}', counts)
    others = [each['other categories'] for each in statistics]
    if any(others):
        add('not trained on: another category', others)
    table.add_section()
    for label in dict.fromkeys(label for each in statistics for label in each['classes']):
        add(label, [each['classes'].get(label) for each in statistics])
    return table


def _labels(splits: Sequence[Split]) -> list[str]:
    """Short headings: the loop of a config, with a number where it has several, or the file."""
    names = [split.loop if '.dataset' in split.name else Path(split.name).stem for split in splits]
    several = Counter(names)
    seen: Counter = Counter()
    labels = []
    for name in names:
        labels.append(f'{name} {seen[name] + 1}' if several[name] > 1 else name)
        seen[name] += 1
    return labels


def _cell(value: object) -> str:
    if value is None:
        return '-'
    if isinstance(value, list):
        least, median, most = value
        return f'{median:g} ({least:g}-{most:g})' if least < most else f'{median:g}'
    return f'{value:,}'


def _number(lines: Sequence[str], name: str) -> str:
    return f'{len(lines)} {name}{"" if len(lines) == 1 else "s"}'
