"""With sync=True, a rank without objects neither hangs the others nor has another average."""

import pytest
import torch

from tests.detectors import rank_detectors
from tests.detectors.rank_detectors import CASES
from tests.processes import run_on_ranks


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    return run_on_ranks(rank_detectors.__file__, 2, tmp_path_factory.mktemp('ranks'))


@pytest.mark.parametrize('index', range(len(CASES)), ids=[name.split('/')[-1] for name in CASES])
def test_both_ranks_have_the_average_of_all_images(found, index):
    first, second = (results[index] for results in found)
    assert first.keys() == second.keys() and first
    for name, (average, counts) in first.items():
        torch.testing.assert_close(second[name], torch.stack([average, counts]), rtol=0, atol=0)
        assert average.sum() > 0
