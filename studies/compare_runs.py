"""Compare trainings: their metric, and the loss where it is the same, as curves and in a table.

Reads MMEngine's logs in each work dir, and joins starts that resumed each other. If all work dirs
are named ROW/seedN or ROW_seedN, a second table has the mean of each row over its seeds, and its
difference to the first row that was given, over the seeds of both.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.diagnosis.style import save
from studies.reproduction_table import markdown as seed_table
from studies.reproduction_table import measured_rows
from studies.run_comparison import CURVE_COLUMNS, draw_comparison, write_curves
from studies.run_labels import run_labels
from studies.run_table import Summary, check_metric, markdown, summarize, write_table
from studies.runs import Run, read_run
from studies.tables import Row, Table

CURVES = 'curves.csv'
SEED = re.compile(r'(?:(.+)[_-])?seed[_-]?(\d+)')
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
    parts = [
        markdown(summaries, metric),
        _empty(runs, labels, metric),
        over_seeds(summaries, metric),
    ]
    table = '\n'.join(filter(None, parts))
    # first, because a later call replaces the other files only if this one exists
    write_curves(out / CURVES, runs, labels, metric)
    write_table(out / 'table.csv', summaries)
    (out / 'table.md').write_text(table, encoding='utf-8')
    save(draw_comparison(runs, labels, metric), out / 'comparison')
    return table


def over_seeds(summaries: Sequence[Summary], metric: str) -> str:
    """The table over seeds of runs in ``ROW/seedN`` or ``ROW_seedN``.

    Returns:
        Markdown; '' if a folder has another name, a seed is there twice, or no row has two.
    """
    rows: dict[Path, dict[int, Summary]] = {}
    for each in summaries:
        path = Path(each.work_dir).resolve()
        found = SEED.fullmatch(path.name)
        if not found:
            return ''
        row = rows.setdefault(path.with_name(found[1]) if found[1] else path.parent, {})
        if row.setdefault(int(found[2]), each) is not each:
            return ''
    if max(map(len, rows.values())) < 2:
        return ''
    names = run_labels(list(rows))
    measured = {
        name: {seed: each for seed, each in row.items() if each.final is not None}
        for name, row in zip(names, rows.values())
    }
    first, *others = names
    table = Table(
        f'{metric} over the seeds',
        tuple(Row(name, name, config='') for name in names),
        paired=bool(others),
    )
    text = seed_table(table, measured_rows(table.rows, measured), 'last validation')
    common = [f'{name} {len({*measured[name]} & {*measured[first]})}' for name in others]
    return text + (f'\nSeeds in common with {first}: {", ".join(common)}.\n' if common else '')


def _empty(runs: Sequence[Run], labels: Sequence[str], metric: str) -> str:
    """A sentence on runs whose last validation has no metrics; '' if there are none."""
    pairs = [(label, run.validations) for label, run in zip(labels, runs)]
    empty = [label for label, done in pairs if done and not done[-1].metrics]
    if not empty:
        return ''
    return (
        f'No {metric} of {", ".join(empty)}: the last validation had no detections, because none '
        "reached the model's test_cfg.score_thr.\n"
    )


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
