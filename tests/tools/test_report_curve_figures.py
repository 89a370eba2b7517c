"""What the two panels hold: the values as they are, their colours, named axes, the note."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ghm_mmdet.diagnosis.style import COLOURS, panels
from gradient_report.curve_figures import (
    GROUPS,
    draw_contributions,
    draw_norms,
    draw_overview,
    groups,
    rises_at_the_end,
)

NORMS = {'positives': np.array([3, 0, 1, 5]), 'negatives': np.array([90000, 20, 0, 7, 1])}
SHARES = {'cross entropy': np.full(30, 1 / 30), 'GHM-C': np.arange(30) / np.arange(30).sum()}
VALLEY = np.repeat([90, 80, 70, 60, 50, 40, 30, 20, 40, 90], 3)


@pytest.fixture
def axes():
    (axes,) = panels(1)[1]
    return axes


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('lines', [NORMS, {'positives': np.zeros(5)}])
def test_counts_are_drawn_as_they_are_below_the_legend(axes, lines):
    draw_norms(axes, lines, 'gr')
    axes.figure.draw_without_rendering()
    assert axes.get_xlabel() == 'gradient norm gr'
    assert axes.get_ylabel() and axes.get_title()
    assert (axes.get_yscale(), axes.get_xlim()) == ('log', (0, 1))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)
    for patch, (name, values) in zip(axes.patches, lines.items()):
        np.testing.assert_array_equal(patch.get_data().values, values)
        assert to_hex(patch.get_edgecolor()) == COLOURS[name].lower()
    legend = axes.get_legend().get_window_extent()
    highest = max(values.max() for values in lines.values())
    assert legend.y0 > axes.transData.transform((0, max(highest, 1e-9)))[1]


def test_a_bar_of_each_loss_is_whole_and_has_its_groups(axes):
    draw_contributions(axes, SHARES, 'g')
    assert [text.get_text() for text in axes.get_yticklabels()] == list(SHARES)
    assert axes.get_xlabel().endswith('(%)')
    drawn = np.array([[bar.get_width() for bar in bars] for bars in axes.containers])
    for bars, colour in zip(axes.containers, GROUPS.values()):
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {colour.lower()}
    for widths, share in zip(drawn.T, SHARES.values()):
        assert widths.sum() == pytest.approx(100)
        np.testing.assert_allclose(widths, 100 * groups(share))
    np.testing.assert_allclose(drawn[:, 0], [10, 80, 10])


@pytest.mark.parametrize('regions', [10, 50, 90, 120])
def test_groups_end_at_their_limits(regions):
    g = (np.arange(regions) + 0.5) / regions
    values = np.random.default_rng(0).random(regions)
    parts = [values[g < 0.1], values[(g > 0.1) & (g < 0.9)], values[g > 0.9]]
    np.testing.assert_allclose(groups(values), [part.sum() for part in parts])


@pytest.mark.parametrize(
    ('positives', 'expected'),
    [
        (VALLEY, True),
        (np.arange(300, 0, -10), False),
        (np.full(30, 100), False),
        (np.arange(30) ** 8, False),  # untrained: most of them are at the end
        (np.eye(30)[-1] * 1000, False),
        (VALLEY // 20, False),  # too few to tell
        (np.zeros(30), False),
    ],
    ids=['valley', 'fall', 'flat', 'untrained', 'all at the end', 'few', 'none'],
)
def test_a_crowd_behind_a_valley_is_noted(axes, positives, expected):
    assert rises_at_the_end(positives) is expected
    draw_norms(axes, {'positives': positives}, 'g')
    assert bool(axes.texts) is expected


def test_coordinates_of_boxes_have_no_labels(axes):
    draw_norms(axes, {'positives': VALLEY}, 'gr')
    assert not axes.texts


def test_the_report_has_both_panels():
    left, right = draw_overview(NORMS, SHARES, 'g').axes
    assert left.get_title() != right.get_title()
    assert len(right.containers) == len(GROUPS)
