"""Shows the progress of a table: a line per start and end, and a live line on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.text import Text

from studies.table_runs import TableRun, epochs_begun

REFRESH = 5.0
"""Seconds between looks into a run's log."""


class TableProgress:
    """Counts runs and estimates the rest by the share of their epochs that is done.

    Args:
        runs: The remaining runs, in order.
        finished: Number of finished runs.
    """

    def __init__(self, runs: Sequence[TableRun], finished: int) -> None:
        self.console = Console(markup=False, highlight=False, soft_wrap=True)
        self._total = finished + len(runs)
        self._shares = {run.work_dir: _share(run) for run in runs}
        self._before = sum(self._shares.values())
        self._finished = finished
        self._start = time.monotonic()
        self._looked = 0.0

    @contextmanager
    def shown(self, run: TableRun) -> Iterator[None]:
        """Print that a run starts; inside, :meth:`refresh` keeps a line on a terminal."""
        self.console.print(self.line(run, 'starts'))
        with self.console.status(Text(self.line(run, 'runs'))) as self._status:
            yield

    def refresh(self, run: TableRun) -> None:
        """Show the time, and now and then the progress of the run."""
        now = time.monotonic()
        if now - self._looked > REFRESH:
            self._looked = now
            self._shares[run.work_dir] = _share(run)
        if self.console.is_terminal:
            epoch = int(self._shares[run.work_dir] * run.epochs + 1.5)
            self._status.update(Text(self.line(run, f'runs, epoch {epoch} of {run.epochs}')))

    def end(self, run: TableRun, what: str) -> None:
        """Print how a run ended."""
        self._shares[run.work_dir] = 1.0
        self.console.print(self.line(run, what))
        self._finished += 1

    def line(self, run: TableRun, what: str) -> str:
        """The progress as text: run, epoch, time passed and time left."""
        elapsed = time.monotonic() - self._start
        done = sum(self._shares.values()) - self._before
        left = f', about {_hours(elapsed / done * self._left())} left' if done > 0 else ''
        number = f'[{self._finished + 1}/{self._total}]'
        return f'{number} {run.name} {what}; {_hours(elapsed)} elapsed{left}'

    def _left(self) -> float:
        return len(self._shares) - sum(self._shares.values())


def _share(run: TableRun) -> float:
    return max(epochs_begun(run) - 1, 0) / run.epochs


def _hours(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
