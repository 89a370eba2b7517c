"""With sync=True, ranks on parts of a batch train as one process on the whole of it."""

from __future__ import annotations

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from tests.losses import rank_losses
from tests.losses.rank_losses import CASES, expected
from tests.processes import run_on_ranks

# of the whole batch: the density is float32, whatever the logits are
TOLERANCE = {'float32': dict(rtol=1e-5, atol=1e-6), 'float64': dict(rtol=1e-6, atol=1e-7)}


@pytest.fixture(scope='module', params=[2, pytest.param(4, marks=pytest.mark.long)])
def found(request, tmp_path_factory):
    """By rank, the results of all cases."""
    return run_on_ranks(rank_losses.__file__, request.param, tmp_path_factory.mktemp('ranks'))


@pytest.mark.parametrize('index', range(len(CASES)), ids=[' '.join(map(str, c)) for c in CASES])
def test_gradients_average_and_losses_are_those_of_the_whole_batch(index, found):
    _, _, dtype, kind = CASES[index]
    whole = expected(CASES[index])
    for results in found:
        torch.testing.assert_close(results[index]['averages'], whole['averages'], rtol=0, atol=0)
        torch.testing.assert_close(
            results[index]['gradient'], whole['gradient'], **TOLERANCE[dtype]
        )
    # a rank's loss is scaled for the average of the ranks
    mean = sum(results[index]['losses'] for results in found) / len(found)
    torch.testing.assert_close(mean, whole['losses'], equal_nan=True, **TOLERANCE[dtype])
    poisoned = [bool(each) for each in mean.isnan()]
    assert poisoned == [False, kind == 'NaN on one rank', False]


def test_without_ranks_it_changes_nothing():
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    losses = [GHMCLoss(use_sigmoid=True, momentum=0.5, sync=sync) for sync in (False, True)]
    first, second = ([loss(logits, labels) for _ in range(3)] for loss in losses)
    assert all(map(torch.equal, first, second))
