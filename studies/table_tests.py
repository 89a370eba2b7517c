"""Evaluates the last checkpoint of each finished run of a table on the test split."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from studies.run_table import Summary
from studies.table_runs import (
    METRIC,
    TEST_RESULT,
    TableRun,
    environment,
    read_result,
    saved_result,
    write_result,
)
from studies.training_process import run_to_file

FOLDER = 'test'


def test_command(run: TableRun, root: Path, options: Sequence[str]) -> list[str]:
    """The command that evaluates a finished run, with AP by class.

    Args:
        run: Finished.
        root: Folder with ``tools/``.
        options: ``KEY=VALUE``, as on the command line.
    """
    return [
        *(sys.executable, str(root / 'tools' / 'test.py'), str(run.config)),
        str(run.work_dir / f'epoch_{run.epochs}.pth'),
        *('--work-dir', str(run.work_dir / FOLDER)),
        *('--cfg-options', 'test_evaluator.classwise=True', *options),
    ]


def evaluate(run: TableRun, command: Sequence[str], output: Path, lock: int) -> Summary | None:
    """Evaluate a finished run, unless that has been done; None if it fails.

    Args:
        run: A finished one.
        command: See :func:`test_command`.
        output: File for its output.
        lock: Of the table's folder.
    """
    path = run.work_dir / TEST_RESULT
    if path.is_file():
        return read_result(path)
    if run_to_file(command, output, environment(), _do_nothing, inherited=(lock,)) != 0:
        return None
    metrics = test_metrics(run.work_dir)
    if METRIC not in metrics:
        return None
    summary = replace(
        saved_result(run),
        final=metrics[METRIC],
        ap50=metrics.get(f'{METRIC}_50'),
        ap75=metrics.get(f'{METRIC}_75'),
    )
    write_result(path, summary)
    return summary


def test_metrics(work_dir: Path) -> dict[str, float]:
    """The metrics of a run's latest evaluation on the test split; none if there is none."""
    files = sorted(work_dir.glob(f'{FOLDER}/*/*.json'))
    return json.loads(files[-1].read_text('utf-8').splitlines()[-1]) if files else {}


def _do_nothing() -> None:
    """A progress function without effect, as an evaluation takes seconds."""
