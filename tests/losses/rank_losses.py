"""Losses with sync=True on ranks of uneven parts of a batch: rank_losses.py FOLDER, by torchrun.

Every rank writes, for each case, what it has after some steps: the averaged gradients, the moving
average, and the losses. ``expected`` is the same of one process on the whole batch.
"""

from __future__ import annotations

import os
import sys
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ghm_mmdet.losses import GHMCLoss, GHMRLoss

STEPS = 3
BATCH, FEATURES, WIDTH = 41, 6, 3
FIRST = 7  # examples of the first rank; the others share the rest
LOSSES = {
    'GHM-C': lambda **a: GHMCLoss(use_sigmoid=True, **a),
    'GHM-R': GHMRLoss,
    'GHM-C, equal gradient': lambda **a: GHMCLoss(use_sigmoid=True, balance='gradient', **a),
    'GHM-C, gamma 1': lambda **a: GHMCLoss(use_sigmoid=True, gamma=1.0, **a),
    'GHM-C, exact': lambda **a: GHMCLoss(use_sigmoid=True, density='exact', **a),
}
MOMENTA = (0, 0.75)
DTYPES = {'float32': torch.float32, 'float64': torch.float64}
BATCHES = ('uneven', 'no positives on one rank', 'nothing valid on one rank', 'NaN on one rank')
CASES = list(product(LOSSES, MOMENTA, DTYPES, BATCHES))


def batch(loss: str, kind: str, dtype: torch.dtype, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and weights of the whole batch; the first rank has the first examples."""
    random = torch.Generator().manual_seed(step)
    features = torch.randn(BATCH, FEATURES, generator=random).to(dtype)
    if loss == 'GHM-R':
        target = torch.randn(BATCH, WIDTH, generator=random).to(dtype)
    else:
        target = torch.randint(0, WIDTH + 1, (BATCH,), generator=random)
    weight = (torch.rand(BATCH, generator=random) > 0.2).to(dtype)
    if kind == 'no positives on one rank':
        # of a box loss these are the boxes of negatives, all without weight
        weight[:FIRST] *= float(loss != 'GHM-R')
        target[:FIRST] = target[:FIRST] if loss == 'GHM-R' else WIDTH
    if kind == 'nothing valid on one rank':
        weight[:FIRST] = 0
    if kind == 'NaN on one rank' and step == 1:
        features[0], weight[0] = float('nan'), 1
    return features, target, weight


def trained(case: tuple, part: slice, sync: bool) -> dict[str, Tensor]:
    """Last gradients, moving average after each step, and losses, on a part of the batches."""
    name, momentum, dtype, kind = case
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, WIDTH).to(DTYPES[dtype])
    loss = LOSSES[name](bins=5, momentum=momentum, loss_weight=2.0, sync=sync)
    wrapped = DistributedDataParallel(model) if sync else model
    averages, losses = [], []
    for step in range(STEPS):
        features, target, weight = (each[part] for each in batch(name, kind, DTYPES[dtype], step))
        model.zero_grad()
        value = loss(wrapped(features), target, weight)
        value.backward()
        averages += [each.clone() for each in loss.density.state]
        losses.append(value.detach())
    return dict(
        gradient=torch.cat([each.grad.flatten() for each in model.parameters()]),
        averages=torch.stack(averages) if averages else torch.zeros(0),
        losses=torch.stack(losses),
    )


def expected(case: tuple) -> dict[str, Tensor]:
    """What one process has on the whole batch."""
    return trained(case, slice(None), sync=False)


def part_of(rank: int, ranks: int) -> slice:
    """The examples of a rank."""
    if rank == 0:
        return slice(FIRST)
    edges = torch.linspace(FIRST, BATCH, ranks).int().tolist()
    return slice(*edges[rank - 1 : rank + 1])


def main(folder: str) -> None:
    distributed.init_process_group('gloo')
    rank = distributed.get_rank()
    part = part_of(rank, distributed.get_world_size())
    results = [trained(case, part, sync=True) for case in CASES]
    torch.save(results, Path(folder) / f'rank{rank}.pt')
    distributed.destroy_process_group()


if __name__ == '__main__':
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    main(sys.argv[1])
