"""Processes that tests start: tools and scripts of this repository, on one rank or several."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[1]

PATIENCE = 240  # seconds

# --standalone of torch 2.0 and 2.1 has one port for all tests of a machine
ON_A_FREE_PORT = ('--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0')


def environment(**more: str) -> dict[str, str]:
    """Variables with which a process has this repository's package, and one thread."""
    return {**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1', **more}


def wait_for_checkpoint(
    process: subprocess.Popen, work_dir: Path, known: Collection[Path] = ()
) -> None:
    """Until a training has written another checkpoint than those known, or has ended."""
    give_up = time.monotonic() + PATIENCE
    while process.poll() is None and not set(work_dir.glob('epoch_*.pth')).difference(known):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def run_on_ranks(script: str, ranks: int, folder: Path, timeout: float = 300) -> list:
    """What the ranks have saved as ``FOLDER/rankN.pt``, by rank; the script takes the folder."""
    torchrun = ['-m', 'torch.distributed.run', *ON_A_FREE_PORT, f'--nproc-per-node={ranks}']
    done = subprocess.run(
        [sys.executable, *torchrun, script, folder],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in range(ranks)]
