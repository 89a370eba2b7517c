"""The axis of the regions' shares: the same for all that have as many regions, nothing unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from ghm_mmdet.diagnosis.style import draw_shares, panels

EVEN = np.full(30, 1 / 30)
CROWD = np.array([0.6, *[0.4 / 29] * 29])


def test_shares_are_drawn_as_they_are_in_percent():
    (axes,) = panels(1)[1]
    draw_shares(axes, {'cross entropy': CROWD, 'GHM-C': EVEN}, 'g')
    for patch, share in zip(axes.patches, (CROWD, EVEN)):
        np.testing.assert_allclose(patch.get_data().values, 100 * share)


@pytest.mark.parametrize(('share', 'named'), [(EVEN, []), (CROWD, ['60%'])])
def test_what_the_axis_cuts_off_is_named(share, named):
    axes, other = panels(2)[1]
    draw_shares(axes, {'GHM-C': share}, 'g')
    draw_shares(other, {'GHM-C': EVEN}, 'g')
    assert [text.get_text().strip() for text in axes.texts] == named
    assert axes.get_ylim() == other.get_ylim()
