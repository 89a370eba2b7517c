"""Time and peak memory of several ways to do the same thing, side by side in one process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Hashable
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from tqdm import tqdm

Key = TypeVar('Key', bound=Hashable)


class Effort(NamedTuple):
    """How often a call is repeated.

    Attributes:
        runs: At most this many runs.
        seconds: No further run once all runs together have taken this long.
    """

    runs: int
    seconds: float


EFFORT = {'cpu': Effort(15, 10.0), 'cuda': Effort(51, 2.0)}
ONCE = Effort(1, 0.0)


@dataclass(frozen=True)
class Cost:
    """The cost of one call.

    Attributes:
        seconds: Of every run that counts.
        bytes: Peak memory above the memory before; None if it could not be measured.
    """

    seconds: tuple[float, ...]
    bytes: int | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float | None:
        """Interquartile range over the median; None for fewer than four runs."""
        if len(self.seconds) < 4:
            return None
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


def interleaved(
    calls: dict[Key, Callable[[], object]], device: torch.device, effort: Effort, title: str = ''
) -> dict[Key, Cost]:
    """Cost of each call, run in turns so that a disturbance affects all of them.

    Args:
        calls: To run; each is run twice beforehand, to warm up and for its memory.
        device: Of the calls; on CUDA the time is measured with events.
        effort: Number of runs.
        title: For the progress bar.

    Returns:
        A cost per call, without the calls that ran out of the GPU's memory.
    """
    memory, seconds = {}, {}
    with tqdm(total=len(calls) * (1 + effort.runs), desc=title, leave=False, disable=None) as bar:
        for key, call in calls.items():
            bar.set_postfix_str(str(key))
            try:
                call()
                memory[key] = peak_memory(call, device)
                seconds[key] = []
            except torch.cuda.OutOfMemoryError:
                bar.write(f'{title}: {key} is left out, the memory of the GPU is too small')
            bar.update()
        for _ in range(effort.runs):
            for key, taken in seconds.items():
                bar.set_postfix_str(str(key))
                if not taken or sum(taken) < effort.seconds:
                    taken.append(duration(calls[key], device))
                bar.update()
    return {key: Cost(tuple(taken), memory[key]) for key, taken in seconds.items()}


def duration(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    if device.type != 'cuda':
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that one call needs at its peak above the memory in use before it.

    On the CPU this is the kernel's count of resident pages. None if the
    system does not allow to reset it (other systems than Linux, or a locked-down container).
    """
    if device.type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    _give_free_pages_back()
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return None
    before = _status('VmRSS')
    call()
    return max(0, _status('VmHWM') - before)


def copy_bandwidth(device: torch.device, effort: Effort, elements: int = 2**26) -> float:
    """Bytes per second that a large float32 copy reads and writes."""
    source = torch.rand(elements, device=device)
    target = torch.empty_like(source)
    cost = interleaved({'copy': lambda: target.copy_(source)}, device, effort, 'bandwidth')['copy']
    return 2 * source.numel() * source.element_size() / cost.median


def _give_free_pages_back() -> None:
    """Return freed memory to the system, because it would hide the need of the next call."""
    gc.collect()
    try:
        CDLL(None).malloc_trim(0)
    except AttributeError:  # another C library than glibc
        return


def _status(field: str) -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024
    raise LookupError(f'{field} is not in /proc/self/status')
