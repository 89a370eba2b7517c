"""Time and peak memory of several ways to do the same thing, side by side in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

REPEATS = 9
PATIENCE = 20.0  # seconds; a contestant that takes longer once is not run again


@dataclass(frozen=True)
class Cost:
    """Medians over the repeats.

    Attributes:
        seconds: Time of one call.
        bytes: Peak memory of one call above what was there before.
    """

    seconds: float
    bytes: int


def interleaved(
    contestants: dict[str, Callable[[], object]], device: torch.device, repeats: int = REPEATS
) -> dict[str, Cost]:
    """Cost of each contestant, run in turns so that a disturbance meets all of them.

    Args:
        contestants: What to run, by name; called once beforehand to warm up.
        device: Where they run; on CUDA, events take the time.
        repeats: Runs of each that count.
    """
    seconds = {name: [] for name in contestants}
    memory = {}
    for name, call in contestants.items():
        call()
        memory[name] = peak_memory(call, device)
    for _ in range(repeats):
        for name, call in contestants.items():
            if not seconds[name] or seconds[name][0] < PATIENCE:
                seconds[name].append(duration(call, device))
    return {name: Cost(statistics.median(seconds[name]), memory[name]) for name in contestants}


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


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that one call needs at its peak above what is allocated before it.

    On the CPU the kernel's count of resident pages stands in for an allocator's (Linux).
    """
    if device.type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    Path('/proc/self/clear_refs').write_text('5')
    before = _status('VmRSS')
    call()
    return max(0, _status('VmHWM') - before)


def copy_bandwidth(device: torch.device, elements: int = 2**26) -> float:
    """Bytes per second that a large float32 copy reads and writes."""
    source = torch.rand(elements, device=device)
    target = torch.empty_like(source)
    cost = interleaved({'copy': lambda: target.copy_(source)}, device)['copy']
    return 2 * source.numel() * source.element_size() / cost.seconds


def device_name(device: torch.device) -> str:
    """What the results are filed under."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    model = [
        line.split(':', 1)[1].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    ]
    return f'{model[0] if model else "CPU"}, {torch.get_num_threads()} threads'


def _status(field: str) -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) * 1024
    raise LookupError(f'{field} is not in /proc/self/status')
