"""AP against label noise: the numbers of the tables, at their share of wrong labels."""

import pytest

from studies.noise_figure import Result, draw_noise, read_table
from studies.run_log import RunError

TABLE = 'row,ap_mean,ap_deviation\nfocal,35.5,0.5\nghmc,38.25,1.5\nce,30.0,\n'


def test_rows_with_a_spread_are_read(tmp_path):
    (tmp_path / 'table.csv').write_text(TABLE)
    rows = read_table(tmp_path / 'table.csv')
    assert rows == {'focal': Result(35.5, 0.5), 'ghmc': Result(38.25, 1.5)}


@pytest.mark.parametrize('content', ['', 'a,b\n1,2\n', TABLE.replace('0.5', 'x')])
def test_what_is_no_table_is_named(tmp_path, content):
    path = tmp_path / 'table.csv'
    if content:
        path.write_text(content)
    with pytest.raises(RunError, match=r'table\.csv: (no such|not a) table'):
        read_table(path)


def test_a_line_for_each_loss_through_its_means():
    tables = {0.4: {'focal': Result(20, 1)}, 0.0: {'focal': Result(40, 2), 'ghmc': Result(42, 1)}}
    (axes,) = draw_noise(tables, {'focal': 'focal loss', 'ghmc': 'GHM-C'}).axes
    lines = {each.get_label(): each for each in axes.containers}
    assert lines['focal loss'][0].get_xydata().tolist() == [[0, 40], [40, 20]]
    assert lines['GHM-C'][0].get_xydata().tolist() == [[0, 42]]
