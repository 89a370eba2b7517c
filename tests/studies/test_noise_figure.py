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
    (axes,) = draw_noise(tables, {'focal': 'focal loss', 'ghmc': 'GHM-C'}, 'some data').axes
    points = [each[0].get_xydata().tolist() for each in axes.containers]
    assert points == [[[0, 40], [40, 20]], [[0, 42]]]
    assert axes.get_title() == 'some data'
    # each line is named at its end
    assert {text.get_text(): text.xy for text in axes.texts} == {
        'focal loss': (40, 20),
        'GHM-C': (0, 42),
    }
