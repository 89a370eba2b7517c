"""The project's targets compared with the measurements.

python -m benchmarks.targets [RESULTS]

RESULTS is the folder of the CSV files, benchmarks/results by default.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.command_line import RESULTS
from benchmarks.fixed_cost import OPERATION
from benchmarks.ghmc_loss import BINS, SCALING_EXAMPLES, TARGET_EXAMPLES
from benchmarks.table import Row, read_csv

# Measured in place of mmcv's operator, so it does not say how GHM compares with that operator.
STAND_IN = '(PyTorch)'
WIDTHS = (60, 12, 12)


class Target(NamedTuple):
    """One line of the table.

    Attributes:
        text: Names of the compared values.
        measured: The number, or None if a row is missing.
        limit: The target for it.
        at_least: Whether more is better.
    """

    text: str
    measured: float | None
    limit: float
    at_least: bool = False

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return 'not measured'
        met = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return 'met' if met else 'missed'


Find = Callable[[str], Row | None]


def targets(rows: Sequence[Row], device_type: str) -> list[Target]:
    """The targets for a type of device.

    Args:
        rows: Of one device; none if nothing was measured.
        device_type: 'cpu' or 'cuda'.
    """
    dtypes = ('float32',) if device_type == 'cpu' else ('float32', 'bfloat16')
    result = []
    for dtype in dtypes:
        call = [
            row
            for row in rows
            if row.operation == 'GHM-C'
            and (row.dtype, row.examples) == (dtype, TARGET_EXAMPLES[device_type])
        ]
        result += _loss_targets(_finder(call), dtype, is_cuda=device_type == 'cuda')
        if device_type == 'cuda':
            result += _size_targets(rows, dtype)
    fixed = [row for row in rows if row.operation == OPERATION]
    result += _fixed_cost_targets(_finder(fixed), device_type)
    if device_type == 'cuda':
        result += _step_targets(_finder([row for row in rows if row.operation == 'training step']))
    return result


def _loss_targets(find: Find, dtype: str, is_cuda: bool) -> Iterator[Target]:
    ours, exact, theirs = find('GHM-C'), find('GHM-C exact'), find('mmdet GHMC')
    focal, memory = find('mmdet FocalLoss'), find('GHM-C')
    yield Target(
        f'{_name(theirs, "mmdet GHMC")} / GHM-C, {dtype}',
        _ratio(theirs, ours),
        100 if is_cuda else 20,
        at_least=True,
    )
    yield Target(
        f'GHM-C / {_name(focal, "mmdet FocalLoss")}, {dtype}',
        _ratio(ours, focal),
        0.5 if is_cuda else 0.4,
    )
    if is_cuda:
        compiled = _ratio(ours, find('compiled focal'))
        yield Target(f'GHM-C / compiled focal (an aim), {dtype}', compiled, 1)
        yield Target(f'GHM-C / floor, {dtype}', _ratio(ours, find('floor')), 1.5)
        yield Target(
            f'GHM-C exact / {_name(theirs, "mmdet GHMC")}, {dtype}', _ratio(exact, theirs), 1
        )
        yield Target(f'GHM-C exact / GHM-C (an aim), {dtype}', _ratio(exact, ours), 3)
    yield Target(f'GHM-C, peak memory / logits, {dtype}', memory.memory if memory else None, 1.1)


def _size_targets(rows: Sequence[Row], dtype: str) -> Iterator[Target]:
    """Targets at every size: the host limits the small sizes, and the GPU the large ones."""
    for examples in SCALING_EXAMPLES:
        of_size = [row for row in rows if (row.dtype, row.examples) == (dtype, examples)]
        find = _finder([row for row in of_size if row.operation == 'GHM-C'])
        where = f'{dtype}, {examples:,}'
        focal = find('mmdet FocalLoss')
        name = _name(focal, 'mmdet FocalLoss')
        yield Target(f'GHM-C / {name}, {where}', _ratio(find('GHM-C'), focal), 0.5)
    yield Target(f'GHM-C / floor, {where}', _ratio(find('GHM-C'), find('floor')), 1.5)


def _fixed_cost_targets(find: Find, device_type: str) -> Iterator[Target]:
    limits = {'cpu': (0.6, 0.4), 'cuda': (0.5, 0.5)}[device_type]
    focal = find('mmdet FocalLoss')
    for name in ('GHM-C', 'GHM-C small-data'):
        yield Target(f'{name} / mmdet FocalLoss, 64 anchors', _ratio(find(name), focal), limits[0])
    if device_type == 'cuda':
        ours = find('GHM-C')
        yield Target('GHM-C, 64 anchors, ms', ours.milliseconds if ours else None, 0.15)
    name = 'GHM-C + GHM-R, pyramid'
    ratio = _ratio(find(name), find('focal + L1'))
    yield Target(f'{name} / focal + L1, 64 anchors', ratio, limits[1])


def _step_targets(find: Find) -> Iterator[Target]:
    focal = find('focal + L1')
    for name in ('GHM whole pyramid', 'GHM per level'):
        yield Target(f'training step, {name} / focal + L1', _ratio(find(name), focal), 1)


def _finder(rows: Sequence[Row]) -> Find:
    """Look up a contestant by the start of its name; a replacement does not count."""

    def find(name: str) -> Row | None:
        exact = [row for row in rows if row.contestant == name]
        similar = [row for row in rows if row.contestant.startswith((f'{name} (', f'{name} at '))]
        found = (
            row
            for row in exact + similar
            if row.bins in (None, BINS) and STAND_IN not in row.contestant
        )
        return next(found, None)

    return find


def _name(row: Row | None, otherwise: str) -> str:
    return row.contestant if row else otherwise


def _ratio(row: Row | None, base: Row | None) -> float | None:
    return row.milliseconds / base.milliseconds if row and base else None


def print_targets(rows: Sequence[Row]) -> None:
    """A table per device; one that says that nothing was measured for a missing type of device."""
    devices = {(row.device_type, row.device): None for row in rows}
    measured = {kind for kind, _ in devices}
    missing = [(kind, f'no {kind} device') for kind in TARGET_EXAMPLES if kind not in measured]
    for kind, device in [*devices, *missing]:
        of_device = [row for row in rows if (row.device_type, row.device) == (kind, device)]
        backends = ', '.join(sorted({row.backend for row in of_device}))
        print(f'\nTargets on {kind}: {device}' + (f'; back end {backends}' if backends else ''))
        print(_line('', 'target', 'measured') + '  verdict')
        for target in targets(of_device, kind):
            limit = f'{">=" if target.at_least else "<="} {target.limit:g}'
            number = '-' if target.measured is None else f'{target.measured:.3f}'
            print(f'{_line(target.text, limit, number)}  {target.verdict}')


def _line(*cells: str) -> str:
    text, *numbers = zip(cells, WIDTHS)
    return f'{text[0]:{text[1]}}' + ''.join(f'{number:>{width}}' for number, width in numbers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', type=Path, nargs='?', default=RESULTS)
    folder = parser.parse_args(arguments).results
    print_targets([row for path in sorted(folder.glob('*.csv')) for row in read_csv(path)])


if __name__ == '__main__':
    main()
