"""With sync=True, ranks on parts of a batch train as one process on the whole of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from tests.losses import rank_losses
from tests.losses.rank_losses import CASES, expected

REPOSITORY = Path(__file__).resolve().parents[2]
RANKS = 2
# of the whole batch: the density is float32, whatever the logits are
TOLERANCE = {'float32': dict(rtol=1e-5, atol=1e-6), 'float64': dict(rtol=1e-6, atol=1e-7)}


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """By rank, the results of all cases."""
    folder = tmp_path_factory.mktemp('ranks')
    torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={RANKS}']
    done = subprocess.run(
        [sys.executable, *torchrun, rank_losses.__file__, folder],
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in range(RANKS)]


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
    mean = sum(results[index]['losses'] for results in found) / RANKS
    torch.testing.assert_close(mean, whole['losses'], equal_nan=True, **TOLERANCE[dtype])
    poisoned = [bool(each) for each in mean.isnan()]
    assert poisoned == [False, kind == 'NaN on one rank', False]


def test_without_ranks_it_changes_nothing():
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    losses = [GHMCLoss(use_sigmoid=True, momentum=0.5, sync=sync) for sync in (False, True)]
    first, second = ([loss(logits, labels) for _ in range(3)] for loss in losses)
    assert all(map(torch.equal, first, second))
