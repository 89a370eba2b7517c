"""mAP over the epochs of a table's runs: collected as CSV, and drawn with bands over seeds."""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghm_mmdet.diagnosis.style import COLOURS, LINE_WIDTH, finish, panels
from studies.noise_figure import MARKERS
from studies.run_log import RunError
from studies.runs import read_run
from studies.table_runs import METRIC, seed_of

Curves = dict[str, dict[int, list[float]]]
"""mAP in percent, one number for each seed, by row and epoch."""


def curves_text(work_dirs: Iterable[Path]) -> str:
    """The validations of a table's runs as CSV, one line each; a run without a log has none.

    Args:
        work_dirs: ``ROW/seedN`` of each run.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(['row', 'seed', 'epoch', 'ap'])
    for work_dir in work_dirs:
        try:
            validations = read_run(work_dir).validations
        except RunError:
            continue
        for each in validations:
            if METRIC in each.metrics:
                ap = 100 * each.metrics[METRIC]
                run = (work_dir.parent.name, seed_of(work_dir))
                writer.writerow([*run, each.epoch, f'{ap:.1f}'])
    return out.getvalue()


def read_curves(path: Path) -> Curves:
    """Read the text of :func:`curves_text`.

    Raises:
        RunError: There is no such file, or it is something else.
    """
    curves: Curves = defaultdict(lambda: defaultdict(list))
    try:
        with path.open(newline='', encoding='utf-8') as file:
            for line in csv.DictReader(file):
                curves[line['row']][int(line['epoch'])].append(float(line['ap']))
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f'{path}: no curves of studies.reproduce') from error
    return curves


def draw_curves(panel_curves: Mapping[str, Curves], names: Mapping[str, str]) -> Figure:
    """One panel per data set, with a line and a band of one deviation for each row.

    Args:
        panel_curves: Of each panel, by its title.
        names: Name of a loss, as figures colour it, by the row.
    """
    figure, axes = panels(len(panel_curves))
    for place, (title, curves) in zip(axes, panel_curves.items()):
        for row, name in names.items():
            if row in curves:
                _draw(place, curves[row], name)
        place.set(title=title, xlabel='epoch', ylim=(0, None))
        finish(place)
    axes[0].set_ylabel('mAP on val (%)')
    for place in axes[1:]:
        place.get_legend().remove()
    return figure


def _draw(axes: Axes, values: Mapping[int, list[float]], name: str) -> None:
    epochs = sorted(values)
    means = [statistics.fmean(values[epoch]) for epoch in epochs]
    spread = [statistics.pstdev(values[epoch]) for epoch in epochs]
    look = dict(color=COLOURS[name], linewidth=LINE_WIDTH, marker=MARKERS[name], markersize=4)
    dashed = '--' if name.endswith('no prior') else '-'
    axes.plot(epochs, means, dashed, label=name, **look)
    low, high = zip(*((mean - each, mean + each) for mean, each in zip(means, spread)))
    axes.fill_between(epochs, low, high, color=COLOURS[name], alpha=0.15, linewidth=0)
