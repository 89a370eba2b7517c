"""Run a script of the tests on several ranks, and read what each has written."""

import os
import subprocess
import sys
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def run_on_ranks(script: str, ranks: int, folder: Path, timeout: float = 300) -> list:
    """What the ranks have saved as ``FOLDER/rankN.pt``, by rank; the script takes the folder."""
    torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={ranks}']
    done = subprocess.run(
        [sys.executable, *torchrun, script, folder],
        env={**os.environ, 'PYTHONPATH': str(REPOSITORY), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f'rank{rank}.pt', weights_only=True) for rank in range(ranks)]
