"""What the hook wrote is read back as it was, of the start that has it."""

import numpy as np
import pytest

from studies.density_log import draw_looks, read_looks
from studies.run_log import RunError
from tests.studies.run_logs import train_line, write_start

REGIONS = 12  # more than ten, so that their order is not that of their texts without zeros
LOSS = 'bbox_head.loss_cls'


def look_line(step, first):
    values = {
        f'gradient_density/{LOSS}/{name}/{region:02d}': first + region
        for name in ('counts', 'share_before', 'share_after')
        for region in range(REGIONS)
    }
    return {**values, f'gradient_density/{LOSS}/outliers': 0.5, 'step': step}


def test_the_looks_of_the_last_start_in_order(tmp_path):
    write_start(tmp_path, [train_line(10), look_line(10, 1)], start='1')
    write_start(tmp_path, [look_line(20, 2), train_line(20), look_line(30, 3)], start='2')
    write_start(tmp_path, [train_line(40)], start='3')
    looks = read_looks(tmp_path, LOSS)
    assert [look.iteration for look in looks] == [20, 30]
    for look, first in zip(looks, (2, 3)):
        for values in (look.counts, look.share_before, look.share_after):
            np.testing.assert_array_equal(values, np.arange(REGIONS) + first)


def test_a_run_without_the_hook_is_named(tmp_path):
    write_start(tmp_path, [train_line(10)])
    with pytest.raises(RunError, match='which GradientDensityHook writes'):
        read_looks(tmp_path, LOSS)


def test_first_and_last_look_are_drawn_for_each_run(tmp_path):
    write_start(tmp_path, [look_line(10, 1), look_line(20, 2), look_line(30, 3)])
    looks = read_looks(tmp_path, LOSS)
    axes = draw_looks([('one', looks), ('two', looks)]).axes
    assert len(axes) == 4
    for left in axes[::2]:
        labels = left.get_legend_handles_labels()[1]
        assert labels == ['iteration 10', 'iteration 30']
        for drawn, look in zip(left.patches, (looks[0], looks[-1])):
            np.testing.assert_array_equal(drawn.get_data().values, look.counts)
