"""AP of every class on the test split, of a table's runs, as CSV.

python -m studies.class_ap FOLDER > table.csv

The runs are evaluated by `--split test` of studies.reproduce.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from studies.run_log import RunError
from studies.table_runs import TEST_RESULT, seed_of
from studies.table_tests import FOLDER, test_metrics

PREFIX, SUFFIX = 'coco/', '_precision'
"""Name of the AP of a class in MMDetection's CocoMetric."""


def class_aps(folder: Path) -> Iterator[tuple[str, int, str, float]]:
    """Row, seed, class and AP in percent of each run on the test split.

    Args:
        folder: Of a table, with ``ROW/seedN``.

    Raises:
        RunError: No run has been evaluated, or one without AP by class.
    """
    work_dirs = sorted(path.parent for path in folder.glob(f'*/seed*/{FOLDER}'))
    if not work_dirs:
        raise RunError(
            f'{folder}: no ROW/seedN/{FOLDER}, name the folder of a table of studies.reproduce '
            'that was evaluated with --split test'
        )
    for work_dir in work_dirs:
        metrics = test_metrics(work_dir)
        found = {
            name[len(PREFIX) : -len(SUFFIX)]: 100 * value
            for name, value in metrics.items()
            if name.startswith(PREFIX) and name.endswith(SUFFIX)
        }
        if not found:
            raise RunError(
                f'{work_dir}: no AP by class; remove {TEST_RESULT} to have it evaluated anew'
            )
        for name, ap in found.items():
            yield work_dir.parent.name, seed_of(work_dir), name, ap


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.class_ap`` with the given arguments, by default the command line's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='of a table')
    add_debug(parser)
    args = parser.parse_args(arguments)
    with one_line_errors(args.debug):
        rows = list(class_aps(args.folder))
    writer = csv.writer(sys.stdout)
    writer.writerow(['row', 'seed', 'class', 'ap'])
    writer.writerows((row, seed, name, f'{ap:.1f}') for row, seed, name, ap in rows)


if __name__ == '__main__':
    main()
