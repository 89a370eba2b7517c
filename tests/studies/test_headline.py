"""The first results: the tables' numbers, in README and on the results page, and which count."""

import pytest

from studies.headline import (
    HEADLINES,
    Difference,
    Headline,
    draw_differences,
    read_difference,
)
from studies.run_log import RunError
from tests.processes import REPOSITORY

TABLE = """row,ap_mean,difference_mean,difference_error
focal,40.04,0.0,0.0
ghmc,41.54,1.5,0.5
ce,39.5,-0.5,
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'table.csv').write_text(TABLE)
    return tmp_path


def test_a_row_is_read_beside_the_first(folder):
    found = read_difference(Headline('BCCD', 'table', 'ghmc'), folder)
    assert found == Difference('BCCD', 40.04, 41.54, 1.5, 0.5)
    assert str(found) == '| BCCD | 40.0 | 41.5 | **+1.5 ± 0.5** |'


@pytest.mark.parametrize('row', ['ce', 'ohem'])
def test_a_row_without_a_difference_is_named(folder, row):
    with pytest.raises(RunError, match=rf'table\.csv: no difference of {row}'):
        read_difference(Headline('BCCD', 'table', row), folder)


def test_those_beyond_two_standard_errors_are_filled():
    drawn = [Difference('first', 0, 0, 1.5, 0.5), Difference('second', 0, 0, -0.5, 0.4)]
    (axes,) = draw_differences(drawn).axes
    points = [bar.lines[0] for bar in axes.containers]
    assert [point.get_xdata()[0] for point in points] == [1.5, -0.5]
    assert [point.get_markerfacecolor() == 'white' for point in points] == [False, True]
    assert [each.get_text() for each in axes.get_yticklabels()] == ['first', 'second']
    bars = [list(bar.lines[2][0].get_segments()[0][:, 0]) for bar in axes.containers]
    assert bars == [pytest.approx(each) for each in ([0.5, 2.5], [-1.3, 0.3])]


@pytest.mark.parametrize('headline', HEADLINES, ids=lambda each: each.label)
def test_the_pages_have_the_numbers_of_the_tables(headline):
    """docs/results.md has every row, README has some of them."""
    row = str(read_difference(headline))
    assert row in (REPOSITORY / 'docs' / 'results.md').read_text()
    readme = (REPOSITORY / 'README.md').read_text()
    assert (row in readme) == (f'| {headline.label} |' in readme)


def test_the_readme_has_rows_for_and_against():
    readme = (REPOSITORY / 'README.md').read_text()
    shown = [each for each in map(read_difference, HEADLINES) if str(each) in readme]
    assert {each.counts for each in shown} == {True, False}
