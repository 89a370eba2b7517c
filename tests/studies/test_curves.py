"""Curves of runs: what was logged, one line for a validation, and bands over seeds."""

import statistics
from pathlib import Path

import pytest

from studies.curves import curves_text, draw_curves, read_curves
from studies.run_log import RunError
from tests.studies.run_logs import train_line, val_line, write_start

NAMES = {'focal': 'focal loss', 'ghmc': 'GHM-C, no prior'}


def run(folder, row, seed, values):
    """The folder of a finished run with one validation an epoch."""
    work_dir = folder / row / f'seed{seed}'
    lines = [
        line
        for epoch, ap in enumerate(values, 1)
        for line in (train_line(10 * epoch, epoch), val_line(epoch, ap))
    ]
    write_start(work_dir, lines)
    return work_dir


@pytest.fixture
def curves(tmp_path):
    runs = [
        run(tmp_path, 'focal', 0, [0.1, 0.3]),
        run(tmp_path, 'focal', 1, [0.2, 0.3]),
        run(tmp_path, 'ghmc', 0, [0.25, 0.3]),
        tmp_path / 'ghmc' / 'seed1',
    ]
    (tmp_path / 'curves.csv').write_text(curves_text(runs))
    return read_curves(tmp_path / 'curves.csv')


def test_every_validation_is_read_again(curves):
    assert curves == {'focal': {1: [10, 20], 2: [30, 30]}, 'ghmc': {1: [25], 2: [30]}}


def test_a_line_through_the_means_and_a_band_of_one_deviation(curves):
    (axes,) = draw_curves({'data': curves}, NAMES).axes
    focal, ghmc = axes.get_lines()
    assert focal.get_xydata().tolist() == [[1, 15], [2, 30]]
    assert ghmc.get_xydata().tolist() == [[1, 25], [2, 30]]
    band = axes.collections[0].get_paths()[0].vertices
    edge = {y for x, y in band.tolist() if x == 1}
    assert edge == {15 - statistics.pstdev([10, 20]), 15 + statistics.pstdev([10, 20])}


def test_a_panel_for_each_data_set_with_one_legend(curves):
    figure = draw_curves({'first': curves, 'second': curves}, NAMES)
    assert [axes.get_title() for axes in figure.axes] == ['first', 'second']
    assert [axes.get_legend() is not None for axes in figure.axes] == [True, False]


@pytest.mark.parametrize('content', [None, 'a,b\n1,2\n', 'row,seed,epoch,ap\nfocal,0,1,x\n'])
def test_what_is_no_curve_is_named(tmp_path, content):
    path = Path(tmp_path / 'curves.csv')
    if content:
        path.write_text(content)
    with pytest.raises(RunError, match=r'curves\.csv: no curves of studies\.reproduce'):
        read_curves(path)
