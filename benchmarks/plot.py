"""The rows of a scaling as a picture: cost against the number of examples, and against M."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.table import Row
from ghm_mmdet.diagnosis.style import COLOURS

# A loss has the same colour in all figures; line and marker show the implementation. A name in the
# table may be longer.
STYLES = {
    'GHM-C exact': dict(color=COLOURS['GHM-C'], marker='s', linestyle=':'),
    'GHM-C': dict(color=COLOURS['GHM-C'], marker='o', linestyle='-', linewidth=2.4),
    'mmdet GHMC': dict(color=COLOURS['GHM-C'], marker='^', linestyle='--'),
    'mmdet FocalLoss': dict(color=COLOURS['focal loss'], marker='D', linestyle='--'),
}
USUAL_BINS = 30
RETINANET = 16_000_000  # of one image on COCO: 200,000 anchors x 80 classes


def draw(rows: list[Row], path: Path) -> None:
    """Both panels, for the rows of the first dtype.

    Args:
        rows: Of one operation and device.
        path: Of the picture.
    """
    first = rows[0]
    rows = [
        row for row in rows if row.dtype == first.dtype and row.contestant.startswith(tuple(STYLES))
    ]
    figure = Figure(figsize=(9.6, 4.6), layout='constrained')
    by_size, by_bins = figure.subplots(1, 2, sharey=True, width_ratios=[1.7, 1])
    usual = [row for row in rows if row.bins in (None, USUAL_BINS)]
    _draw_lines(by_size, ((row.contestant, row.examples, row.milliseconds) for row in usual))
    size = _size_with_most_bins(rows)
    of_size = [row for row in rows if row.examples == size]
    for row in of_size:
        if row.bins is None:  # measured once
            by_bins.axhline(row.milliseconds, **{**_style(row.contestant), 'marker': ''})
    with_bins = [row for row in of_size if row.bins is not None]
    _draw_lines(by_bins, ((row.contestant, row.bins, row.milliseconds) for row in with_bins))
    bins = sorted({row.bins for row in with_bins})
    _label(by_size, 'examples (anchors x classes)', f'{USUAL_BINS} unit regions')
    _label(by_bins, 'unit regions M', f'{size:,} examples')
    by_size.axvline(RETINANET, color='#666666', linewidth=1, zorder=0)
    place = dict(xycoords=('data', 'axes fraction'), xytext=(-4, 0), textcoords='offset points')
    by_size.annotate('RetinaNet,\n1 image', (RETINANET, 0.98), **place, ha='right', va='top')
    by_size.set_ylabel('forward + backward (ms)\nlower is faster')
    by_size.yaxis.set_major_formatter('{x:,g}')
    by_bins.set_xticks(bins, [str(m) for m in bins], minor=False)
    by_bins.set_xticks([], minor=True)
    figure.suptitle(
        f'{first.operation}, {first.dtype}\n'
        f'{first.device}; torch {first.torch}; back end {first.backend}',
        fontsize=11,
    )
    figure.legend(*by_size.get_legend_handles_labels(), loc='outside lower center', ncols=4)
    figure.savefig(path, dpi=130)


def _draw_lines(axes: Axes, points: Iterable[tuple[str, float, float]]) -> None:
    """One line per contestant through its points (name, x, y)."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, x, y in points:
        lines.setdefault(name, []).append((x, y))
    for name, line in lines.items():
        axes.plot(*zip(*sorted(line)), label=name, **_style(name))


def _style(name: str) -> dict[str, object]:
    return next(style for start, style in STYLES.items() if name.startswith(start))


def _size_with_most_bins(rows: list[Row]) -> int:
    """The largest of the sizes at which most pairs of contestant and M were measured."""
    pairs = dict.fromkeys(sorted({row.examples for row in rows}, reverse=True), 0)
    for row in rows:
        pairs[row.examples] += row.bins is not None
    return max(pairs, key=pairs.get)


def _label(axes: Axes, x: str, title: str) -> None:
    axes.set(xscale='log', yscale='log', xlabel=x)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3, which='major')
    axes.grid(alpha=0.1, which='minor')
    axes.spines[['top', 'right']].set_visible(False)
