"""One operation on growing inputs: rows of all contestants, within limits of time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.contestants import Batch, Contestant
from benchmarks.machine import Machine
from benchmarks.measure import Cost, interleaved
from benchmarks.table import Row, print_rows

# Seconds that one call may take.
LONGEST_CALL = {'cpu': 45.0, 'cuda': 5.0}
# The kernel counts pages in batches: below this, a prediction's size on the CPU says little.
RESOLVED_BYTES = 16 * 2**20


class Comparison:
    """Collects rows; the cost of a contestant on one input decides whether it runs on a larger one.

    Args:
        operation: For the table.
        unit: The contestant by whose time the ratios divide.
        machine: To run on.
    """

    def __init__(self, operation: str, unit: Contestant, machine: Machine) -> None:
        self.rows: list[Row] = []
        self._operation = operation
        self._unit = unit
        self._machine = machine
        self._description = machine.description
        self._last: dict[Contestant, tuple[int, Cost]] = {}

    def run(self, contestants: Sequence[Contestant], batch: Batch) -> None:
        """Measure, print and collect the rows of one input; batches come in growing order."""
        calls = {each: each.call(batch) for each in contestants if self._is_bearable(each, batch)}
        if not calls:
            return
        device, effort = self._machine.device, self._machine.effort
        costs = interleaved(calls, device, effort, f'{self._operation}, {batch.label}')
        self._last.update({each: (batch.prediction.numel(), cost) for each, cost in costs.items()})
        rows = list(self._as_rows(costs, batch))
        print_rows(rows)
        self.rows += rows

    def _is_bearable(self, contestant: Contestant, batch: Batch) -> bool:
        """Whether there is enough time and memory, both linear in the number of examples."""
        if contestant not in self._last:
            return True
        examples, cost = self._last[contestant]
        growth = batch.prediction.numel() / examples
        seconds = growth * cost.median
        longest = LONGEST_CALL[self._machine.device.type]
        if seconds > longest:
            reason = f'a call would take about {seconds:.0f} s, more than {longest:.0f} s'
        elif (needed := growth * (cost.bytes or 0)) > (free := self._machine.available_memory()):
            reason = (
                f'it would need about {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free'
            )
        else:
            return True
        print(f'{batch.label}: {contestant} is left out, {reason}')
        return False

    def _as_rows(self, costs: dict[Contestant, Cost], batch: Batch) -> Iterator[Row]:
        unit = costs[self._unit].median if self._unit in costs else None
        common = {
            **self._description,
            'operation': self._operation,
            'input': batch.label,
            'dtype': str(batch.prediction.dtype).split('.')[-1],
            'examples': batch.prediction.numel(),
        }
        for contestant, cost in costs.items():
            size = batch.prediction.numel() * (contestant.dtype or batch.prediction.dtype).itemsize
            resolved = self._machine.device.type != 'cpu' or size >= RESOLVED_BYTES
            peak = cost.bytes if resolved else None
            yield Row(
                **common,
                contestant=contestant.name,
                bins=contestant.bins,
                milliseconds=cost.median * 1000,
                ratio=cost.median / unit if unit else None,
                spread=cost.spread,
                runs=len(cost.seconds),
                memory=None if peak is None else peak / size,
                peak_mib=None if peak is None else peak / 2**20,
            )
        if batch.floor_bytes is not None:
            seconds = batch.floor_bytes / self._machine.bandwidth
            yield Row(
                **common,
                contestant=f'floor at {self._machine.bandwidth / 1e9:,.0f} GB/s',
                bins=None,
                milliseconds=seconds * 1000,
                ratio=seconds / unit if unit else None,
                spread=None,
                runs=None,
                memory=1.0,
                peak_mib=batch.prediction.nbytes / 2**20,
            )
