"""Twenty thousand calls of every shape: nothing grows, nothing drifts."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.ops import use_backend
from tests.back_ends import ON_CPU

CALLS = 20_000
MOMENTUM = 0.75
MEBIBYTE = 2**20
KINDS = {
    'classification': lambda: GHMCLoss(use_sigmoid=True, bins=30, momentum=MOMENTUM),
    'boxes': lambda: GHMRLoss(bins=10, momentum=MOMENTUM),
}


def memory() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()


def calls(kind):
    """Predictions and targets of 0 to 400 rows and 1 to 30 columns, as in a training of minutes."""
    generator = torch.Generator().manual_seed(0)
    for step in range(CALLS):
        rows = int(torch.randint(0, 401, (), generator=generator))
        columns = 4 if kind == 'boxes' else int(torch.randint(1, 31, (), generator=generator))
        # examples move from everywhere to the easy end, and back
        hardness = 1 + torch.cos(torch.tensor(step / 500))
        if kind == 'boxes':
            target = torch.randn(rows, columns, generator=generator)
            noise = torch.randn(rows, columns, generator=generator)
            yield target + 0.05 * hardness * noise, target
        else:
            logits = torch.randn(rows, columns, generator=generator) - 6 + 3 * hardness
            yield logits, torch.randint(0, columns + 1, (rows,), generator=generator)


@pytest.mark.soak
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('backend', ON_CPU)
def test_memory_is_flat_and_the_average_is_that_of_float64(kind, backend):
    loss, oracle = KINDS[kind](), KINDS[kind]()
    average = torch.zeros(loss.density.bins, dtype=torch.float64)
    settled = 0
    for step, (prediction, target) in enumerate(calls(kind), start=1):
        with use_backend(backend):
            value = loss(prediction.requires_grad_(), target)
        value.backward()
        with use_backend('reference'):
            expected = oracle(prediction.detach(), target)
        torch.testing.assert_close(value.detach(), expected, rtol=1e-5, atol=1e-7)
        counts = loss.statistics.counts
        blended = MOMENTUM * average + (1 - MOMENTUM) * counts
        average = blended.where(counts > 0, average)
        if step % 1000 == 0:
            for each in (loss, oracle):
                torch.testing.assert_close(
                    each.density.moving_average.double(), average, rtol=1e-6, atol=1e-6
                )
        if step == CALLS // 10:
            settled = memory()
    assert step == CALLS
    assert memory() - settled < 8 * MEBIBYTE
