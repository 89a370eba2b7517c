"""What the three panels hold: the values as they are, the loss's colour, named axes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ghm_mmdet.diagnosis.style import COLOURS, panels
from gradient_report.curve_figures import draw_contributions, draw_norms, draw_reformulated

NORMS = {'positives': np.array([3, 0, 1, 5]), 'negatives': np.array([90000, 20, 0, 7, 1])}
CURVES = {'cross entropy': np.array([0.1, 0.9]), 'GHM-C': np.array([1e-9, 4.0])}


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize(
    ('draw', 'lines', 'factor'),
    [
        (draw_norms, NORMS, 1),
        (draw_norms, {'positives': np.zeros(5)}, 1),
        (draw_reformulated, CURVES, 1),
        (draw_contributions, CURVES, 100),
    ],
)
def test_panel(draw, lines, factor):
    figure, (axes,) = panels(1)
    draw(axes, lines, 'gr')
    figure.draw_without_rendering()
    assert axes.get_xlabel() == 'gradient norm gr'
    assert axes.get_ylabel() and axes.get_title()
    assert (axes.get_yscale(), axes.get_xlim()) == ('log', (0, 1))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)
    for patch, (name, values) in zip(axes.patches, lines.items()):
        np.testing.assert_array_equal(patch.get_data().values, values * factor)
        assert to_hex(patch.get_edgecolor()) == COLOURS[name].lower()
    legend = axes.get_legend().get_window_extent()
    highest = max(values.max() for values in lines.values()) * factor
    assert legend.y0 > axes.transData.transform((0, max(highest, 1e-9)))[1]
