"""Compare trainings: their metric, and the loss where it is the same, as curves and in a table.

Reads MMEngine's logs in each work dir, and joins starts that resumed each other.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.diagnosis.style import save
from studies.run_comparison import CURVE_COLUMNS, draw_comparison, write_curves
from studies.run_labels import run_labels
from studies.run_table import check_metric, markdown, summarize, write_table
from studies.runs import Run, read_run

CURVES = 'curves.csv'
FILES = {CURVES, 'table.csv', 'table.md', 'comparison.png', 'comparison.svg'}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.compare_runs`` with the given arguments, by default the command line's."""
    args = _parser().parse_args(arguments)
    out = Path(args.out)
    with one_line_errors(args.debug):
        check_out(out)
        runs = [read_run(path) for path in _work_dirs(args.work_dirs, out)]
        check_metric(runs, args.metric)
        table = write_comparison(runs, args.metric, out)
    for path in (path for run in runs for path in run.left_out):
        print(f'left out, not continued by what came after it: {path.parents[1]}', file=sys.stderr)
    print(f'{table}\nfigure, table and curves: {out}')


def check_out(out: Path) -> None:
    """Check that writing the results overwrites no other files.

    Raises:
        ConfigError: The folder has files that are not those of an earlier comparison.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f'--out {out}: not a folder')
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    if found and not (found <= FILES and _is_curves(out / CURVES)):
        raise ConfigError(
            f'--out {out}: has files that are not of an earlier comparison; '
            'name a folder that is new or empty'
        )


def write_comparison(runs: Sequence[Run], metric: str, out: Path) -> str:
    """Write figure, table and curves, and return the table.

    Args:
        runs: To compare.
        metric: Name of the metric.
        out: Folder; is made if it does not exist.
    """
    out.mkdir(parents=True, exist_ok=True)
    labels = run_labels([run.work_dir for run in runs])
    summaries = [summarize(run, label, metric) for run, label in zip(runs, labels)]
    table = markdown(summaries, metric)
    # first, because a later call replaces the other files only if this one exists
    write_curves(out / CURVES, runs, labels, metric)
    write_table(out / 'table.csv', summaries)
    (out / 'table.md').write_text(table, encoding='utf-8')
    save(draw_comparison(runs, labels, metric), out / 'comparison')
    return table


def _work_dirs(names: Sequence[str], out: Path) -> list[Path]:
    """The folders to read, without the folder of results, which ``work_dirs/*`` contains."""
    paths = [Path(name) for name in names if Path(name).resolve() != out.resolve()]
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise ConfigError(f'{path}: named twice')
        seen.add(path.resolve())
    if not paths:
        raise ConfigError(f'{out}: the folder of the results, and no work dir beside it')
    return paths


def _is_curves(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(newline='', encoding='utf-8', errors='replace') as file:
        return next(csv.reader(file), None) == list(CURVE_COLUMNS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m studies.compare_runs', description=__doc__)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='work dir of a training')
    parser.add_argument(
        '--out',
        default='work_dirs/comparison',
        metavar='FOLDER',
        help='folder for the results: new, empty or of an earlier comparison '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--metric',
        default='coco/bbox_mAP',
        help='of the validations, larger is better (default: %(default)s)',
    )
    add_debug(parser)
    return parser


if __name__ == '__main__':
    main()
