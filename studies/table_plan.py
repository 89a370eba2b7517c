"""Plans and checks the runs of a table before the first of them starts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ghm_mmdet.cli.check_config import check_config, check_machine
from ghm_mmdet.cli.check_data import check_data
from ghm_mmdet.cli.command_line import ConfigOptions
from ghm_mmdet.cli.config import ConfigError, set_work_dir
from studies.fine_tuning_tables import TABLES as FINE_TUNING_TABLES
from studies.head_tables import TABLES as HEAD_TABLES
from studies.paper_tables import TABLES as PAPER_TABLES
from studies.study_tables import TABLES as STUDY_TABLES
from studies.table_runs import (
    MEASURED_ON,
    RESULT,
    TEST_RESULT,
    TableRun,
    command,
    plan_row,
    read_result,
)
from studies.tables import Row, Table

SMALL_TABLES = {**STUDY_TABLES, **FINE_TUNING_TABLES, **HEAD_TABLES}
TABLES = {**PAPER_TABLES, **SMALL_TABLES}
SETTINGS = 'reproduction.json'
RESULTS = {'val': RESULT, 'test': TEST_RESULT}


@dataclass(frozen=True)
class Plan:
    """The checked runs of a command line.

    Attributes:
        table: To reproduce.
        runs: All seeds of a row's before those of the next seed.
        root: Folder with ``configs/`` and ``tools/``.
        out: Folder of the table.
        data: Name of the data.
        gpus: Ranks of a run.
        options: ``--cfg-options`` as given.
        split: Of the table; the runs are validated on val in any case.
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
        """The settings that all runs in a table's folder share."""
        table = next(name for name, table in TABLES.items() if table is self.table)
        return dict(table=table, data=self.data, gpus=self.gpus, cfg_options=self.options)

    def command(self, run: TableRun) -> list[str]:
        """The command that starts a run."""
        return command(run, self.root, self.gpus, self.options)


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
    if args.data == 'coco' and args.table in SMALL_TABLES:
        raise ConfigError(f'--data coco: {args.table} is for small data, --data bccd for one')
    if args.split not in MEASURED_ON[args.data]:
        raise ConfigError(f'--split {args.split}: {args.data} has val alone')
    rows = _rows(args.table, args.rows)
    out = Path(args.out) / f'{args.table}-{args.data}'
    options = _option_values(args.cfg_options)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    planned = [plan_row(row, seeds, args.data, root, out, options) for row in rows]
    # seed by seed, so that the table is whole early
    runs = [run for of_seed in zip(*planned) for run in of_seed]
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
    """Run the checks of tools/train.py for all runs; the data is checked once."""
    for run in {run.row.name: run for run in runs}.values():
        check_config(run.cfg, ('train', 'val'))
        check_machine(run.cfg)
        set_work_dir(run.cfg, str(run.work_dir))
        if not isinstance(run.cfg.train_cfg.get('max_epochs'), int):
            raise ConfigError('train_cfg.max_epochs is missing: runs are counted in epochs')
    check_data(runs[0].cfg, ('train', 'val'))


def _check_folder(plan: Plan) -> None:
    """Check that the folder is new, or of an earlier call with the same settings."""
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
