"""Differences of many tables: the numbers of the tables, and which of them count."""

import pytest

from studies.differences_figure import Difference, draw_differences, read_difference
from studies.run_log import RunError

TABLE = 'row,difference_mean,difference_error\nfocal,0.0,0.0\nghmc,1.5,0.5\nce,-0.5,\n'


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'table.csv'
    path.write_text(TABLE)
    return path


def test_a_row_is_read(table):
    assert read_difference('BCCD', table, 'ghmc') == Difference('BCCD', 1.5, 0.5)


@pytest.mark.parametrize('row', ['ce', 'ohem'])
def test_a_row_without_a_difference_is_named(table, row):
    with pytest.raises(RunError, match=rf'table\.csv: no difference of row {row}'):
        read_difference('BCCD', table, row)


def test_those_beyond_two_standard_errors_are_filled():
    drawn = [Difference('first', 1.5, 0.5), Difference('second', -0.5, 0.4)]
    (axes,) = draw_differences(drawn, 'minus focal loss').axes
    points = [bar.lines[0] for bar in axes.containers]
    assert [point.get_xdata()[0] for point in points] == [1.5, -0.5]
    assert [point.get_markerfacecolor() == 'white' for point in points] == [False, True]
    assert [each.get_text() for each in axes.get_yticklabels()] == ['first', 'second']
    bars = [bar.lines[2][0].get_segments()[0] for bar in axes.containers]
    assert [list(each[:, 0]) for each in bars] == [
        pytest.approx(e) for e in ([0.5, 2.5], [-1.3, 0.3])
    ]
