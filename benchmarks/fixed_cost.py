"""Measures the fixed cost of a call: losses of 64 anchors, on one thread.

python -m benchmarks.fixed_cost [--device cuda] [--backend triton] [--quick] [--results FOLDER]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from mmdet.models.losses import FocalLoss, L1Loss
from torch import Tensor, nn

from benchmarks.command_line import Options, read_options
from benchmarks.contestants import AVG_FACTOR
from benchmarks.measure import interleaved
from benchmarks.table import Row, print_rows, written
from ghm_mmdet.losses import GHMCLoss, GHMRLoss

OPERATION = 'fixed cost'
CLASSES = 3
LEVELS = (48, 12, 2, 1, 1)  # anchors
CALLS = 20  # in a run, because a clock that ticks in microseconds is too coarse for one call
SMALL_DATA = dict(density='paper', bias_correction=True, balance='small-data')

Level = tuple[Tensor, Tensor, Tensor]
Call = Callable[[], None]


def classification(anchors: int, device: torch.device) -> Level:
    """Logits, labels and weights."""
    logits = torch.randn(anchors, CLASSES, device=device).requires_grad_()
    labels = torch.randint(0, CLASSES + 1, (anchors,), device=device)
    return logits, labels, torch.ones(anchors, device=device)


def regression(anchors: int, device: torch.device) -> Level:
    """Box deltas, targets and weights."""
    deltas = torch.randn(anchors, 4, device=device).requires_grad_()
    return deltas, torch.randn(anchors, 4, device=device), torch.ones(anchors, 4, device=device)


def trained(losses: Callable[[], Tensor], levels: Sequence[Level]) -> Call:
    """A run of forward and backward passes."""

    def run() -> None:
        for _ in range(CALLS):
            for prediction, _, _ in levels:
                prediction.grad = None
            losses().backward()

    return run


def per_level(loss: nn.Module, levels: Sequence[Level]) -> Tensor:
    return torch.stack([loss(*level, avg_factor=AVG_FACTOR) for level in levels]).sum()


def whole_pyramid(loss: nn.Module, levels: Sequence[Level]) -> Tensor:
    with loss.split_levels():
        parts = [loss(*level, avg_factor=AVG_FACTOR) for level in levels]
    return loss.merge(parts)


def contestants(device: torch.device) -> dict[str, dict[str, Call]]:
    """The runs of each input by their names; ratios are over the first."""
    ghmc = partial(GHMCLoss, use_sigmoid=True, bins=30, momentum=0.75)
    one = classification(sum(LEVELS), device)
    single = {
        'GHM-C': ghmc(),
        'GHM-C small-data': ghmc(**SMALL_DATA),
        'mmdet FocalLoss': FocalLoss(use_sigmoid=True),
    }
    logits = [classification(anchors, device) for anchors in LEVELS]
    boxes = [regression(anchors, device) for anchors in LEVELS]
    pairs = {
        'GHM-C + GHM-R, pyramid': (ghmc(), GHMRLoss(momentum=0.7), whole_pyramid),
        'GHM-C + GHM-R, per level': (ghmc(), GHMRLoss(momentum=0.7), per_level),
        'focal + L1': (FocalLoss(use_sigmoid=True), L1Loss(), per_level),
    }

    def both(cls: nn.Module, bbox: nn.Module, how: Callable) -> Tensor:
        return how(cls, logits) + how(bbox, boxes)

    return {
        f'{sum(LEVELS)} anchors x {CLASSES} classes, one thread': {
            name: trained(partial(loss.to(device), *one, avg_factor=AVG_FACTOR), [one])
            for name, loss in single.items()
        },
        f'{len(LEVELS)} levels, {sum(LEVELS)} anchors in all, one thread': {
            name: trained(partial(both, cls.to(device), bbox.to(device), how), logits + boxes)
            for name, (cls, bbox, how) in pairs.items()
        },
    }


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(options: Options) -> list[Row]:
    torch.manual_seed(0)
    description = options.machine.description
    with one_thread():
        return _rows(options, description)


def _rows(options: Options, description: dict[str, str]) -> list[Row]:
    rows = []
    for label, calls in contestants(options.machine.device).items():
        effort = options.machine.effort
        costs = interleaved(calls, options.machine.device, effort, f'{OPERATION}, {label}')
        unit = next(iter(costs.values())).median
        rows_of_input = [
            Row(
                **description,
                operation=OPERATION,
                input=label,
                dtype='float32',
                examples=None,
                contestant=name,
                bins=None,
                milliseconds=cost.median * 1000 / CALLS,
                ratio=cost.median / unit,
                spread=cost.spread,
                runs=len(cost.seconds),
                memory=None,
                peak_mib=None,
            )
            for name, cost in costs.items()
        ]
        print_rows(rows_of_input)
        rows += rows_of_input
    return rows


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    options = read_options(__doc__, arguments)
    return written(run(options), options.results)


if __name__ == '__main__':
    main()
