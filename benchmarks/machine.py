"""The device of the measurements."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.measure import Effort, copy_bandwidth
from ghm_mmdet.ops import backends


@dataclass(frozen=True)
class Machine:
    """A device, and the time that each measurement may take on it."""

    device: torch.device
    effort: Effort

    @property
    def description(self) -> dict[str, str]:
        """The columns of a row that are the same for the whole run."""
        return {
            'device': self._name(),
            'device_type': self.device.type,
            'torch': torch.__version__,
            'backend': backends.choose(self.device, backends.forced()).name,
        }

    @cached_property
    def bandwidth(self) -> float:
        """Bytes per second of a large copy, read and written."""
        return copy_bandwidth(self.device, self.effort)

    def available_memory(self) -> float:
        """Bytes that can still be allocated; infinite if the system does not say."""
        if self.device.type == 'cuda':
            kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
            return torch.cuda.mem_get_info()[0] + kept
        return min(_free_memory(), _free_in_container())

    def _name(self) -> str:
        if self.device.type == 'cuda':
            return torch.cuda.get_device_name(self.device)
        return f'{_processor()}, {torch.get_num_threads()} threads'


def _processor() -> str:
    for line in _lines('/proc/cpuinfo'):
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()


def _free_memory() -> float:
    for line in _lines('/proc/meminfo'):
        if line.startswith('MemAvailable'):
            return int(line.split()[1]) * 1024
    return float('inf')


def _free_in_container(folder: str = '/sys/fs/cgroup') -> float:
    limit, used = (_lines(os.path.join(folder, f'memory.{name}')) for name in ('max', 'current'))
    if not limit or not used or limit[0] == 'max':
        return float('inf')
    return int(limit[0]) - int(used[0])


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
