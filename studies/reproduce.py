"""Train the rows of a table, and write it with the published numbers beside them.

The tables are the paper's, and those of the studies on small data.

Rows and seeds are trained one after another, each by tools/train.py in a folder of its own below
OUT/TABLE-DATA. Given again, the same command skips finished runs and continues an interrupted one
from its last checkpoint.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import track

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from studies.curves import curves_text
from studies.reproduction_table import csv_text, markdown, measured_rows
from studies.run_table import Summary
from studies.table_plan import RESULTS, SETTINGS, TABLES, Plan, prepare
from studies.table_progress import TableProgress
from studies.table_runs import (
    MEASURED_ON,
    OUTPUT,
    TableRun,
    environment,
    read_result,
    saved_result,
    seed_of,
    write_config,
    write_whole,
)
from studies.table_tests import evaluate, test_command
from studies.tables import Row
from studies.training_process import ended_as_by_ctrl_c, run_to_file

TEST_OUTPUT = 'test-output.txt'
CURVES = 'curves.csv'
ROOT = Path(__file__).resolve().parents[1]
STOPPED = 130
"""Exit status after Ctrl-C, as of a shell."""


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> None:
    """Run ``studies.reproduce`` with the given arguments, by default the command line's.

    Args:
        arguments: Of the command line.
        root: Folder with ``configs/`` and ``tools/``.
    """
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        plan = prepare(args, root)
    if args.dry_run:
        for run in plan.runs:
            print(shlex.join(plan.command(run)))
        return
    try:
        with one_line_errors(args.debug), _claimed(plan) as lock, ended_as_by_ctrl_c():
            failures = run_all(plan, lock)
            if plan.split == 'test':
                failures += test_all(plan, lock)
            text = write_table(plan, plan.split)
    except KeyboardInterrupt:
        print(f'stopped; what is done is in {plan.out}, the same command goes on', file=sys.stderr)
        raise SystemExit(STOPPED) from None
    print(f'\n{text}\ntable: {", ".join(map(str, _table_files(plan, plan.split)))}')
    for failure in failures:
        print(f'error: {failure}', file=sys.stderr)
    raise SystemExit(1 if failures else 0)


@contextmanager
def _claimed(plan: Plan) -> Iterator[int]:
    """Lock the table's folder for this process and its trainings."""
    plan.out.mkdir(parents=True, exist_ok=True)
    path = plan.out / SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(plan.settings, indent=1) + '\n')
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f'{plan.out}: another call, or a training that it left behind, is at work there'
            ) from error
        yield file.fileno()


def run_all(plan: Plan, lock: int) -> list[str]:
    """Train the runs that are not finished; the table is written after each.

    Returns:
        The failures, one line each.
    """
    todo = [run for run in plan.runs if saved_result(run) is None]
    progress = TableProgress(todo, len(plan.runs) - len(todo))
    failures = []
    for run in todo:
        write_config(run)
        run.work_dir.mkdir(parents=True, exist_ok=True)
        output = run.work_dir / OUTPUT
        with progress.shown(run):
            status = run_to_file(
                plan.command(run),
                output,
                environment(),
                on_wait=lambda run=run: progress.refresh(run),
                inherited=(lock,),
            )
        result = saved_result(run) if status == 0 else None
        if result is None:
            failures.append(f'{run.name}: {_cause(status, run, output)}; log: {output}')
        progress.end(run, f'AP {100 * result.final:.1f}' if result else f'failed, see {output}')
        write_table(plan, 'val')
    return failures


def test_all(plan: Plan, lock: int) -> list[str]:
    """Evaluate the finished runs on the test split; the table is written anew after each.

    Returns:
        The failures, one line each.
    """
    failures = []
    for run in track(plan.runs, 'test split'):
        if saved_result(run) is None:
            continue
        write_config(run)
        output = run.work_dir / TEST_OUTPUT
        arguments = test_command(run, plan.root, plan.options)
        if evaluate(run, arguments, output, lock) is None:
            failures.append(f'{run.name}: not evaluated on the test split; log: {output}')
        write_table(plan, 'test')
    return failures


def _cause(status: int, run: TableRun, output: Path) -> str:
    if status == 0:
        return f'ended without a box AP of epoch {run.epochs}'
    lines = output.read_text('utf-8', errors='replace').split('\n')
    last = next((line.strip() for line in reversed(lines) if line.strip()), 'no output')
    return f'status {status}: {last[:200]}'


def write_table(plan: Plan, split: str) -> str:
    """Write the table of all results on a split, and the curves of all runs in the folder.

    Returns:
        The table as Markdown.
    """
    measured_on = MEASURED_ON[plan.data][split]
    measured = measured_rows(plan.table.rows, _results(plan, RESULTS[split]))
    text = markdown(plan.table, measured, measured_on, plan.options)
    as_markdown, as_csv = _table_files(plan, split)
    write_whole(as_markdown, text)
    write_whole(as_csv, csv_text(plan.table, measured, measured_on))
    runs = [path for row in plan.table.rows for path in _work_dirs(plan, row)]
    write_whole(plan.out / CURVES, curves_text(runs))
    return text


def _table_files(plan: Plan, split: str) -> tuple[Path, Path]:
    stem = 'table' if split == 'val' else f'table-{split}'
    return plan.out / f'{stem}.md', plan.out / f'{stem}.csv'


def _results(plan: Plan, name: str) -> dict[str, dict[int, Summary]]:
    """All results in the folder by row and seed."""
    return {
        row.name: {
            seed_of(work_dir): read_result(work_dir / name)
            for work_dir in _work_dirs(plan, row)
            if (work_dir / name).is_file()
        }
        for row in plan.table.rows
    }


def _work_dirs(plan: Plan, row: Row) -> list[Path]:
    """The folders of a row's runs, those of earlier calls included."""
    return sorted(plan.out.glob(f'{row.name}/seed*'), key=seed_of)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m studies.reproduce', description=__doc__)
    parser.add_argument('table', choices=list(TABLES), metavar='TABLE', help=', '.join(TABLES))
    parser.add_argument(
        '--data',
        choices=list(MEASURED_ON),
        default='coco',
        help="what to train on; all but coco: a small RetinaNet with the rows' losses "
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--seeds', type=int, default=1, metavar='N', help='how many (default: %(default)s)'
    )
    parser.add_argument(
        '--first-seed',
        type=int,
        default=0,
        metavar='SEED',
        help='the seeds are this one and those after it (default: %(default)s)',
    )
    parser.add_argument(
        '--gpus',
        type=int,
        default=1,
        metavar='N',
        help='ranks of each run, by tools/dist_train.sh if more than one (default: %(default)s)',
    )
    parser.add_argument(
        '--out', default='work_dirs/paper', metavar='FOLDER', help='(default: %(default)s)'
    )
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        default='val',
        help='test: evaluate the finished runs on the test split too, and write its table '
        '(default: %(default)s)',
    )
    parser.add_argument('--rows', nargs='+', metavar='ROW', help='only these rows')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the config of every run',
    )
    parser.add_argument('--dry-run', action='store_true', help='print the commands, run nothing')
    add_debug(parser)
    return parser


if __name__ == '__main__':
    main()
