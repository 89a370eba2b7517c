"""Results as rows: printed, written to CSV, read again."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_type_hints

COLUMNS = {
    'contestant': ('contestant', '', 26),
    'bins': ('M', '', 5),
    'milliseconds': ('ms', '.3f', 12),
    'ratio': ('ratio', '.3f', 9),
    'spread': ('spread', '.1%', 8),
    'runs': ('runs', '', 6),
    'memory': ('memory', '.2f', 8),
    'peak_mib': ('MiB', ',.0f', 9),
}


@dataclass(frozen=True)
class Row:
    """One measurement; None for values that were not measured.

    Attributes:
        device: Name of the machine's device.
        device_type: 'cpu' or 'cuda'.
        torch: Version of PyTorch.
        backend: That of GHM in this run.
        operation: Of the call.
        input: Of the call.
        dtype: Of the prediction.
        examples: Number of (anchor, class) pairs or coordinates of one call.
        contestant: Name of the loss.
        bins: M; None if the contestant has none.
        milliseconds: Median.
        ratio: Time over that of GHM on the same input, measured in turns with it.
        spread: Interquartile range over the median.
        runs: Number of runs of the median.
        memory: Peak above the inputs, in multiples of the prediction's size.
        peak_mib: The same in MiB.
    """

    device: str
    device_type: str
    torch: str
    backend: str
    operation: str
    input: str
    dtype: str
    examples: int | None
    contestant: str
    bins: int | None
    milliseconds: float
    ratio: float | None
    spread: float | None
    runs: int | None
    memory: float | None
    peak_mib: float | None


def print_rows(rows: list[Row]) -> None:
    """The rows of one input as a table."""
    first = rows[0]
    print(f'\n{first.operation}: {first.input}, {first.dtype}')
    print(f'{first.device}; torch {first.torch}; back end {first.backend}')
    print(_line(header for header, _, _ in COLUMNS.values()))
    for row in rows:
        values = ((getattr(row, name), form) for name, (_, form, _) in COLUMNS.items())
        print(_line('-' if value is None else format(value, form) for value, form in values))


def write_csv(rows: list[Row], folder: Path) -> Path:
    """One file per operation and device, replaced by each run."""
    folder.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r'[^a-z0-9]+', '-', f'{rows[0].operation} {rows[0].device}'.lower()).strip('-')
    path = folder / f'{slug}.csv'
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator='\n')
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(value) for name, value in asdict(row).items()})
    return path


def written(rows: list[Row], folder: Path | None) -> list[Row]:
    """Write the rows to a file of the folder, if there is one, and return them."""
    if folder:
        print(f'\nwritten to {write_csv(rows, folder)}')
    return rows


def read_csv(path: Path) -> list[Row]:
    """The rows that :func:`write_csv` wrote.

    Raises:
        ValueError: The columns are others.
    """
    kinds = {name: _kind(hint) for name, hint in get_type_hints(Row).items()}
    with path.open(newline='') as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != list(kinds):
            raise ValueError(f'{path}: its columns are not those of benchmarks.table.Row')
        return [
            Row(**{name: kinds[name](text) if text else None for name, text in row.items()})
            for row in reader
        ]


def _line(cells: Iterable[str]) -> str:
    name, *numbers = zip(cells, (width for _, _, width in COLUMNS.values()))
    return f'{name[0]:{name[1]}}' + ''.join(f'{text:>{width}}' for text, width in numbers)


def _text(value: object) -> object:
    return f'{value:.5g}' if isinstance(value, float) else value


def _kind(hint: object) -> type:
    return next(
        kind for kind in (str, int, float) if kind in (hint, *getattr(hint, '__args__', ()))
    )
