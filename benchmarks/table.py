"""Results as rows: printed, written to CSV, drawn."""

from __future__ import annotations

import csv
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from matplotlib.figure import Figure

COLOURS = {
    'GHM-C': '#0072B2',
    'GHM-C exact': '#56B4E9',
    'mmdet GHMC': '#D55E00',
    'mmdet FocalLoss': '#009E73',
    'plain focal': '#CC79A7',
    'floor': '#999999',
}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        device: Name of the machine's device.
        operation: What was run.
        dtype: Of the logits.
        examples: Number of (anchor, class) pairs.
        bins: M; 0 where the contestant has none.
        contestant: Who.
        milliseconds: Median of forward and backward.
        ratio: Time over that of GHM-C in the same run.
        memory: Peak above the inputs, in multiples of the logits.
    """

    device: str
    operation: str
    dtype: str
    examples: int
    bins: int
    contestant: str
    milliseconds: float
    ratio: float
    memory: float


def print_rows(rows: list[Row]) -> None:
    """A table for the terminal."""
    print(f'{rows[0].operation} on {rows[0].device}: forward + backward, medians')
    print(
        f'{"dtype":9}{"examples":>12}{"M":>5}  {"contestant":17}{"ms":>10}{"ratio":>8}{"memory":>8}'
    )
    for row in rows:
        print(
            f'{row.dtype:9}{row.examples:12,}{row.bins or "-":>5}  {row.contestant:17}'
            f'{row.milliseconds:10.2f}{row.ratio:8.2f}{row.memory:8.2f}'
        )


def write_csv(rows: list[Row], folder: Path) -> Path:
    """One file per operation and device, replaced by each run."""
    folder.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r'[^a-z0-9]+', '-', f'{rows[0].operation} {rows[0].device}'.lower()).strip('-')
    path = folder / f'{slug}.csv'
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator='\n')
        writer.writeheader()
        writer.writerows(
            {key: f'{value:.4g}' if isinstance(value, float) else value for key, value in row}
            for row in (asdict(row).items() for row in rows)
        )
    return path


def draw(rows: list[Row], path: Path) -> None:
    """Cost against the number of examples, log-log; a band spans the values of M."""
    figure = Figure(figsize=(7.2, 4.6), layout='constrained')
    axes = figure.subplots()
    dtype = rows[0].dtype
    for name, colour in COLOURS.items():
        points: dict[int, list[float]] = {}
        for row in rows:
            if row.contestant == name and row.dtype == dtype:
                points.setdefault(row.examples, []).append(row.milliseconds)
        if points:
            sizes = sorted(points)
            low = [min(points[size]) for size in sizes]
            high = [max(points[size]) for size in sizes]
            axes.fill_between(sizes, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(sizes, high, marker='o', color=colour, label=name)
    axes.set(
        xscale='log',
        yscale='log',
        xlabel='examples (anchors x classes)',
        ylabel='forward + backward (ms)',
        title=f'{rows[0].operation}, {dtype}\n{rows[0].device}',
    )
    axes.grid(alpha=0.25, which='both')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
