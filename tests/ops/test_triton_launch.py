"""What is launched on CUDA, by a driver that records it; nothing is computed."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.ops.test_triton_ops import run_apart

pytest.importorskip('triton', reason='needs the triton package')
LOSS, GRADIENT = 'few_regions_kernel', 'gradient_kernel'
LOOKED_UP = 'looked up'


@pytest.fixture(scope='module')
def steps(tmp_path_factory):
    """Of each step, the kernels with their programs and arguments, and Triton's own launches."""
    script = Path(__file__).with_name('recording_driver.py')
    done = run_apart(tmp_path_factory.mktemp('cache'), str(script))
    assert done.returncode == 0, done.stderr[-2000:]
    result = defaultdict(list)
    for line in done.stdout.splitlines():
        first, *rest = line.split(' | ')
        if first == 'step':
            (step,) = rest
        elif first in (LOSS, GRADIENT, LOOKED_UP):
            result[step].append((first, *rest))
    return result


def kernels(step):
    return [launch[0] for launch in step if launch[0] != LOOKED_UP]


@pytest.mark.parametrize('step', ['first', 'again', 'other sizes', 'boxes', 'boxes again'])
def test_all_levels_are_one_launch_each_way(steps, step):
    assert kernels(steps[step]) == [LOSS, GRADIENT]


def test_levels_of_two_forms_are_two_launches_each_way(steps):
    assert kernels(steps['two forms']) == [LOSS, LOSS, GRADIENT, GRADIENT]


@pytest.mark.parametrize(('first', 'again'), [('first', 'again'), ('boxes', 'boxes again')])
def test_a_binary_is_looked_up_once_and_then_has_the_same_arguments(steps, first, again):
    looked_up = [launch for launch in steps[first] if launch[0] == LOOKED_UP]
    assert len(looked_up) == 2
    assert [launch for launch in steps[first] if launch[0] != LOOKED_UP] == steps[again]


def test_other_sizes_are_looked_up_anew(steps):
    assert [launch[0] for launch in steps['other sizes']].count(LOOKED_UP) == 2
