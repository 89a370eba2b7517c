"""Writes a published table with the measured numbers beside it, over seeds."""

from __future__ import annotations

import csv
import io
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from terminaltables import GithubFlavoredMarkdownTable

from studies.run_table import ABSENT, Summary
from studies.tables import Published, Row, Table

QUANTITIES = {'ap': 'AP', 'ap50': 'AP50', 'ap75': 'AP75', 'seconds': 's / iteration'}
"""Heading of each, by its name in :class:`~studies.tables.Published`."""


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation; None for the deviation of a single value."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class MeasuredRow:
    """The measured results of a row.

    Attributes:
        row: The published one.
        seeds: The finished ones.
        values: By quantity; AP in percent. Quantities that no seed logged are absent.
        relative_time: Mean time per iteration over that of the table's first row.
        difference: AP in percent minus that of the table's first row, over the seeds of both; its
            deviation is the standard error of the mean.
        non_finite: Seeds in which a loss was NaN or infinite.
    """

    row: Row
    seeds: tuple[int, ...]
    values: Mapping[str, Spread]
    relative_time: float | None
    difference: Spread | None
    non_finite: tuple[int, ...]


def measured_rows(
    rows: Sequence[Row], results: Mapping[str, Mapping[int, Summary]]
) -> list[MeasuredRow]:
    """The measured rows of a table.

    Args:
        rows: Of the table.
        results: Finished runs by name of the row and seed; AP is that of the last validation.
    """
    spreads = {row.name: _spreads(list(results.get(row.name, {}).values())) for row in rows}
    base = spreads[rows[0].name].get('seconds')
    measured = []
    for row in rows:
        done = results.get(row.name, {})
        seconds = spreads[row.name].get('seconds')
        measured.append(
            MeasuredRow(
                row,
                tuple(sorted(done)),
                spreads[row.name],
                relative_time=seconds.mean / base.mean if seconds and base else None,
                difference=_paired(done, results.get(rows[0].name, {})),
                non_finite=tuple(
                    seed for seed in sorted(done) if done[seed].non_finite_from is not None
                ),
            )
        )
    return measured


def _spreads(runs: Sequence[Summary]) -> dict[str, Spread]:
    columns = {
        'ap': [_percent(run.final) for run in runs],
        'ap50': [_percent(run.ap50) for run in runs],
        'ap75': [_percent(run.ap75) for run in runs],
        'seconds': [run.seconds for run in runs],
    }
    found = {
        name: [value for value in values if value is not None] for name, values in columns.items()
    }
    return {name: _spread_of(values) for name, values in found.items() if values}


def _spread_of(values: Sequence[float]) -> Spread:
    return Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


def _paired(runs: Mapping[int, Summary], others: Mapping[int, Summary]) -> Spread | None:
    """Mean difference of the final AP over common seeds, and its standard error."""
    pairs = [(runs[seed].final, others[seed].final) for seed in sorted(set(runs) & set(others))]
    differences = [_percent(ours - theirs) for ours, theirs in pairs]
    if not differences:
        return None
    spread = _spread_of(differences)
    error = spread.deviation and spread.deviation / len(differences) ** 0.5
    return Spread(spread.mean, error)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def markdown(
    table: Table, measured: Sequence[MeasuredRow], measured_on: str, options: Sequence[str] = ()
) -> str:
    """The table in Markdown, with the sources of its numbers.

    Args:
        table: The published one.
        measured: Its rows.
        measured_on: Data of the evaluation.
        options: ``KEY=VALUE`` by which all runs differ from their configs.
    """
    headers, columns = ['row'], [[each.row.label for each in measured]]
    for name, heading in QUANTITIES.items():
        published = [getattr(each.row.published, name) for each in measured]
        if any(value is not None for value in published):
            headers.append(f'{heading}, published ({_where(table, name)})')
            columns.append([_number(value, name) for value in published])
        headers.append(f'{heading}, measured' + ('' if name == 'seconds' else f' ({measured_on})'))
        columns.append([_spread(each.values.get(name), name) for each in measured])
    if table.rows[0].published.seconds is not None:
        base = table.rows[0]
        headers += [f'time / {base.label}, published', f'time / {base.label}, measured']
        columns.append([_ratio(_relative_time(each.row.published, base)) for each in measured])
        columns.append([_ratio(each.relative_time) for each in measured])
    headers.append('seeds')
    columns.append([str(len(each.seeds)) for each in measured])
    if table.paired:
        headers.append(f'AP - {table.rows[0].label}, paired')
        columns.append([_difference(each, table.rows[0]) for each in measured])
    text = GithubFlavoredMarkdownTable([headers, *map(list, zip(*columns))])
    text.justify_columns = dict.fromkeys(range(1, len(headers)), 'right')
    return '\n\n'.join([f'# {table.title}', text.table, *_notes(table, measured, options)]) + '\n'


def _where(table: Table, name: str) -> str:
    return 'other machine' if name == 'seconds' else table.published_on


def _number(value: float | None, name: str) -> str:
    return ABSENT if value is None else f'{value:.3f}' if name == 'seconds' else f'{value:.1f}'


def _spread(spread: Spread | None, name: str) -> str:
    if spread is None:
        return ABSENT
    mean = _number(spread.mean, name)
    return mean if spread.deviation is None else f'{mean} ± {_number(spread.deviation, name)}'


def _difference(measured: MeasuredRow, first: Row) -> str:
    if measured.row is first or measured.difference is None:
        return ABSENT
    sign = '+' if measured.difference.mean >= 0 else ''
    return sign + _spread(measured.difference, 'ap')


def _ratio(value: float | None) -> str:
    return ABSENT if value is None else f'{value:.2f}'


def _relative_time(published: Published, base: Row) -> float | None:
    return None if published.seconds is None else published.seconds / base.published.seconds


def _notes(table: Table, measured: Sequence[MeasuredRow], options: Sequence[str]) -> list[str]:
    notes = [
        'Measured: AP in percent, of the last validation; time is the median over the logged '
        'intervals without the first of each start. Mean ± sample standard deviation over the '
        'seeds; no ± is one seed.'
    ]
    if table.source:
        notes.insert(0, f'Published: from {table.source}.')
    if table.paired:
        notes.append('Paired: mean over the seeds of both rows ± standard error of the mean.')
    if options:
        notes.append(f'All runs with `--cfg-options {shlex.join(options)}`.')
    for each in measured:
        if each.non_finite:
            seeds = ', '.join(map(str, each.non_finite))
            notes.append(f'{each.row.label}: a loss was NaN or infinite with seed {seeds}.')
    return notes


def csv_text(table: Table, measured: Sequence[MeasuredRow], measured_on: str) -> str:
    """The table as CSV with all digits, one line a row."""
    lines = []
    for each in measured:
        line = {
            'row': each.row.name,
            'config': f'configs/{each.row.config}',
            'published_on': table.published_on if table.source else None,
            'measured_on': measured_on,
            'seeds': ' '.join(map(str, each.seeds)),
        }
        for name in QUANTITIES:
            spread = each.values.get(name)
            line[f'{name}_published'] = getattr(each.row.published, name)
            line[f'{name}_mean'] = spread and spread.mean
            line[f'{name}_deviation'] = spread and spread.deviation
        line['relative_time'] = each.relative_time
        line['difference_mean'] = each.difference and each.difference.mean
        line['difference_error'] = each.difference and each.difference.deviation
        lines.append(line)
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()
