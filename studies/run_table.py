"""Final metrics, time and memory of runs as a table."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from terminaltables import GithubFlavoredMarkdownTable

from studies.run_log import RunError, TrainLine
from studies.runs import Run

ABSENT = '-'
NOTES = (
    'AP50 and AP75 are those of the last validation. Time is the median without the first logged '
    'interval of each start; data is the part of it spent waiting for data.'
)


@dataclass(frozen=True)
class Summary:
    """One run in numbers; a number that was not logged is None.

    Attributes:
        run: Label.
        losses: Types of its losses.
        best: Largest value of the metric.
        best_epoch: Epoch of ``best``.
        best_iteration: Iteration of ``best``.
        final: Last value of the metric.
        ap50: AP at an IoU of 0.5 in the last validation.
        ap75: The same at 0.75.
        iterations: The last one logged or validated.
        seconds: Median time per iteration, without the first interval of each start.
        data_share: Part of that time spent waiting for data, in [0, 1].
        memory: Peak of the device, in MB.
        non_finite_from: First logged iteration with a NaN or infinite loss.
        work_dir: Its folder.
    """

    run: str
    losses: str | None
    best: float | None
    best_epoch: int | None
    best_iteration: int | None
    final: float | None
    ap50: float | None
    ap75: float | None
    iterations: int
    seconds: float | None
    data_share: float | None
    memory: float | None
    non_finite_from: int | None
    work_dir: str


def check_metric(runs: Sequence[Run], metric: str) -> None:
    """Check that some run has a metric, unless no run was validated.

    Raises:
        RunError: The runs were validated with other metrics.
    """
    names = {name for run in runs for done in run.validations for name in done.metrics}
    if names and metric not in names:
        raise RunError(f'metric {metric}: no run has it; there are {", ".join(sorted(names))}')


def summarize(run: Run, label: str, metric: str) -> Summary:
    """The table's row for a run.

    Args:
        run: Its logs.
        label: Its name in the table.
        metric: Name of the metric; larger is better.
    """
    taken = [done for done in run.validations if math.isfinite(done.metrics.get(metric, math.nan))]
    best = max(taken, key=lambda done: done.metrics[metric], default=None)
    last = run.validations[-1].metrics if run.validations else {}
    # coco/bbox_mAP, coco/bbox_mAP_s and the like have coco/bbox_mAP_50 beside them
    family = metric[: metric.find('mAP') + 3] if 'mAP' in metric else metric
    seconds, data_share = _timing(run.train)
    return Summary(
        run=label,
        losses=', '.join(run.losses) or None,
        best=best and best.metrics[metric],
        best_epoch=best and best.epoch,
        best_iteration=best and best.iteration,
        final=last.get(metric),
        ap50=last.get(f'{family}_50'),
        ap75=last.get(f'{family}_75'),
        iterations=max(done.iteration for done in (*run.train, *run.validations)),
        seconds=seconds,
        data_share=data_share,
        memory=max((line.memory for line in run.train if line.memory is not None), default=None),
        non_finite_from=next(
            (line.iteration for line in run.train if not math.isfinite(line.loss)), None
        ),
        work_dir=str(run.work_dir),
    )


def _timing(train: list[TrainLine]) -> tuple[float | None, float | None]:
    warm = [line for line in train if not line.warm_up and line.seconds is not None]
    timed = [line for line in warm if line.data_seconds is not None]
    total = sum(line.seconds for line in timed)
    return (
        statistics.median(line.seconds for line in warm) if warm else None,
        sum(line.data_seconds for line in timed) / total if total else None,
    )


def markdown(summaries: Sequence[Summary], metric: str) -> str:
    """The rows as a Markdown table with its notes, aligned so that a terminal shows it as well."""
    headers = (
        *('run', 'losses', f'best {metric}', 'best at', 'final', 'AP50', 'AP75', 'iterations'),
        *('s / iteration', 'data', 'memory (MB)', 'loss not finite'),
    )
    table = GithubFlavoredMarkdownTable([headers, *map(_cells, summaries)])
    table.justify_columns = dict.fromkeys(range(2, len(headers)), 'right')
    return f'{table.table}\n\n{NOTES}\n'


def _cells(row: Summary) -> list[str]:
    if row.best_epoch is not None:
        best_at = f'epoch {row.best_epoch}'
    else:
        best_at = _text('iteration {}', row.best_iteration)
    cells = (
        row.run,
        row.losses or ABSENT,
        _text('{:.3f}', row.best),
        best_at,
        *(_text('{:.3f}', value) for value in (row.final, row.ap50, row.ap75)),
        _text('{}', row.iterations),
        _text('{:.3f}', row.seconds),
        _text('{:.0%}', row.data_share),
        _text('{:.0f}', row.memory),
        _text('from iteration {}', row.non_finite_from),
    )
    return [cell.replace('|', '\\|') for cell in cells]


def _text(form: str, value: float | None) -> str:
    return ABSENT if value is None else form.format(value)


def write_table(path: Path, summaries: Sequence[Summary]) -> None:
    """Write the rows to a CSV file, with the columns of :class:`Summary`."""
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(
            file, [field.name for field in fields(Summary)], lineterminator='\n'
        )
        writer.writeheader()
        writer.writerows(map(asdict, summaries))
