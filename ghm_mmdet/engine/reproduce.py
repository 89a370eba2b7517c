"""Train the rows of a table, and write it with the published numbers beside them.

The tables are the paper's, and those of the studies on small data.

Rows and seeds are trained one after another, each by tools/train.py in a folder of its own below
OUT/TABLE-DATA. What is finished is not repeated, and what was interrupted goes on from its last
checkpoint: to continue, give the same command again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import track

from ghm_mmdet.analysis.paper_tables import TABLES as PAPER_TABLES
from ghm_mmdet.analysis.reproduction_table import csv_text, markdown, measured_rows
from ghm_mmdet.analysis.run_table import Summary
from ghm_mmdet.analysis.study_tables import TABLES as STUDY_TABLES
from ghm_mmdet.analysis.tables import Row, Table
from ghm_mmdet.engine.check_config import check_config, check_data, check_machine
from ghm_mmdet.engine.command_line import ConfigOptions, one_line_errors
from ghm_mmdet.engine.config import ConfigError, set_work_dir
from ghm_mmdet.engine.table_progress import TableProgress
from ghm_mmdet.engine.table_runs import (
    MEASURED_ON,
    OUTPUT,
    RESULT,
    TEST_RESULT,
    TableRun,
    command,
    environment,
    plan_row,
    read_result,
    saved_result,
    write_config,
    write_whole,
)
from ghm_mmdet.engine.table_tests import evaluate, test_command
from ghm_mmdet.engine.training_process import ended_as_by_ctrl_c, run_to_file

TABLES = {**PAPER_TABLES, **STUDY_TABLES}
SETTINGS = 'reproduction.json'
RESULTS = {'val': RESULT, 'test': TEST_RESULT}
TEST_OUTPUT = 'test-output.txt'
STOPPED = 130
"""Exit status after Ctrl-C, as of a shell."""


@dataclass(frozen=True)
class Plan:
    """What a command line asks for, once it has been checked.

    Attributes:
        table: To reproduce.
        runs: All seeds of a row's before those of the next seed.
        root: Folder with ``configs/`` and ``tools/``.
        out: Folder of the table.
        data: Name of the data.
        gpus: Ranks of a run.
        options: ``--cfg-options`` as given.
        split: That the table is written for; the runs are validated on val all the same.
    """

    table: Table
    runs: list[TableRun]
    root: Path
    out: Path
    data: str
    gpus: int
    options: list[str]
    split: str

    @property
    def settings(self) -> dict:
        """What all runs in a table's folder have in common."""
        table = next(name for name, table in TABLES.items() if table is self.table)
        return dict(table=table, data=self.data, gpus=self.gpus, cfg_options=self.options)

    def command(self, run: TableRun) -> list[str]:
        """What starts one of the runs."""
        return command(run, self.root, self.gpus, self.options)


def main(arguments: Sequence[str] | None = None, *, root: Path) -> None:
    """Run ``tools/reproduce.py`` with the given arguments, by default the command line's.

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


def prepare(args: argparse.Namespace, root: Path) -> Plan:
    """The runs, checked together with their data; nothing is built or written.

    Raises:
        ConfigError, DataError: See the checks.
    """
    for name in ('seeds', 'gpus'):
        if getattr(args, name) < 1:
            raise ConfigError(f'--{name} {getattr(args, name)}: must be at least 1')
    if args.first_seed < 0:
        raise ConfigError(f'--first-seed {args.first_seed}: must be at least 0')
    if 0 < torch.cuda.device_count() < args.gpus:
        raise ConfigError(f'--gpus {args.gpus}: this machine has {torch.cuda.device_count()}')
    table = TABLES[args.table]
    if table.coco_only and args.data != 'coco':
        raise ConfigError(
            f'--data {args.data}: {args.table} is for coco only, its rows differ in '
            f'{table.coco_only}'
        )
    if args.data == 'coco' and args.table in STUDY_TABLES:
        raise ConfigError(f'--data coco: {args.table} is for small data, --data bccd or sample')
    if args.split not in MEASURED_ON[args.data]:
        raise ConfigError(f'--split {args.split}: {args.data} has val alone')
    rows = _rows(args.table, args.rows)
    out = Path(args.out) / f'{args.table}-{args.data}'
    options = _option_values(args.cfg_options)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    planned = [plan_row(row, seeds, args.data, root, out, options) for row in rows]
    # seed by seed, so that the table is whole early
    runs = [run for of_seed in zip(*planned, strict=True) for run in of_seed]
    plan = Plan(table, runs, root, out, args.data, args.gpus, args.cfg_options, args.split)
    _check_folder(plan)
    _check_runs(runs)
    return plan


def _rows(name: str, wanted: Sequence[str] | None) -> list[Row]:
    rows = {row.name: row for row in TABLES[name].rows}
    unknown = [each for each in wanted or () if each not in rows]
    if unknown:
        raise ConfigError(f'--rows {unknown[0]}: {name} has {", ".join(rows)}')
    return [row for row in rows.values() if wanted is None or row.name in wanted]


def _option_values(options: Sequence[str]) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, default={})
    return parser.parse_args(['--cfg-options', *options] if options else []).cfg_options


def _check_runs(runs: Sequence[TableRun]) -> None:
    """What tools/train.py checks, before the first run; the data once, because it is the same."""
    for run in {run.row.name: run for run in runs}.values():
        check_config(run.cfg, ('train', 'val'))
        check_machine(run.cfg)
        set_work_dir(run.cfg, str(run.work_dir))
        if not isinstance(run.cfg.train_cfg.get('max_epochs'), int):
            raise ConfigError('train_cfg.max_epochs is missing: runs are counted in epochs')
    check_data(runs[0].cfg, ('train', 'val'))


def _check_folder(plan: Plan) -> None:
    """Only what an earlier call with the same settings made is added to."""
    if not plan.out.exists():
        return
    if not plan.out.is_dir():
        raise ConfigError(f'{plan.out}: not a folder; name another --out')
    path = plan.out / SETTINGS
    if not path.exists():
        if any(plan.out.iterdir()):
            raise ConfigError(f'{plan.out}: has files of something else; name another --out')
        return
    try:
        found = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise ConfigError(f'{path}: broken; name another --out') from error
    for key, value in plan.settings.items():
        if found.get(key) != value:
            raise ConfigError(
                f'{plan.out}: was made with {key}={found.get(key)!r} and not {value!r}; '
                'name another --out'
            )
    for run in plan.runs:
        for name in RESULTS.values():
            if (run.work_dir / name).is_file():
                read_result(run.work_dir / name)


@contextmanager
def _claimed(plan: Plan) -> Iterator[int]:
    """The table's folder for this process and the trainings that it starts; yields the lock."""
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
    """Do what is not done yet; the table is written anew after each run.

    Returns:
        What failed, a line each.
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
        What failed, a line each.
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
    """Write the table of all results on a split in the folder, and return it as Markdown."""
    measured_on = MEASURED_ON[plan.data][split]
    measured = measured_rows(plan.table.rows, _results(plan, RESULTS[split]))
    text = markdown(plan.table, measured, measured_on, plan.options)
    as_markdown, as_csv = _table_files(plan, split)
    write_whole(as_markdown, text)
    write_whole(as_csv, csv_text(plan.table, measured, measured_on))
    return text


def _table_files(plan: Plan, split: str) -> tuple[Path, Path]:
    stem = 'table' if split == 'val' else f'table-{split}'
    return plan.out / f'{stem}.md', plan.out / f'{stem}.csv'


def _results(plan: Plan, name: str) -> dict[str, dict[int, Summary]]:
    """By row and seed; also those that this call was not asked for."""
    return {
        row.name: {
            int(path.parent.name.removeprefix('seed')): read_result(path)
            for path in plan.out.glob(f'{row.name}/seed*/{name}')
        }
        for row in plan.table.rows
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
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
    parser.add_argument(
        '--debug', action='store_true', help='show the traceback behind an error message'
    )
    return parser
