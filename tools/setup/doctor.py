"""Prints what is installed and, for each problem, the command that repairs it.

    python tools/setup/doctor.py

Exits with 1 if a problem keeps the plugin from working.
"""

from __future__ import annotations

import argparse
import platform
import sys

from installed_packages import (
    PROVIDERS,
    gpu_names,
    installed,
    nvcc_version,
    ops_cuda_version,
    release,
    torch_cuda_version,
)
from problems import advice, blockers


def facts() -> dict[str, str]:
    """Return the values of the table by their labels."""
    versions = {
        module: ', '.join(f'{found} ({name})' for name, found in installed(module).items())
        for module in PROVIDERS
    }
    return {
        'ghm_mmdet': release('ghm-mmdet') or 'not installed',
        'python': f'{platform.python_version()} ({sys.executable})',
        **{module: found or 'not installed' for module, found in versions.items()},
        'mmcv operators': _operators(),
        'GPU': _gpus(),
        'nvcc': nvcc_version() or 'none',
        'torch.compile': _compiler(),
        **_back_ends(),
    }


def main() -> int:
    """Print the table and the problems; return the exit status."""
    for label, value in facts().items():
        print(f'{label:<17}{value}')
    blocking = list(blockers())
    problems = blocking or list(advice())
    for problem in problems:
        print(f'\nproblem: {problem.summary}\n    fix: {problem.fix}')
    if not problems:
        print('\nno problems found')
    return 1 if blocking else 0


def _operators() -> str:
    try:
        cuda = ops_cuda_version()
    # An extension compiled for another torch raises more than ImportError.
    except Exception:
        return 'none that load'
    return f'CUDA {cuda}' if cuda else 'CPU'


def _gpus() -> str:
    try:
        names, cuda = gpu_names(), torch_cuda_version()
    # So does torch itself if a library of its own is missing.
    except Exception:
        return 'unknown without torch'
    return ', '.join(names) or f'none that torch can use (its CUDA: {cuda or "none"})'


def _compiler() -> str:
    try:
        from ghm_mmdet.ops.compiling import OPERATORS
    except Exception:
        return 'unknown until the problems are repaired'
    return (
        'takes in the losses'
        if OPERATORS
        else 'leaves its graph for the losses, as torch is below 2.8'
    )


def _back_ends() -> dict[str, str]:
    """The back end of the GHM losses on each device, and the reason."""
    try:
        import torch

        from ghm_mmdet.ops import backends

        devices = ['cpu', *(f'cuda:{index}' for index in range(len(gpu_names())))]
        choices = {
            device: backends.choose(torch.device(device), backends.forced()) for device in devices
        }
    except ValueError as error:
        return {'back end': str(error)}
    except Exception:
        return {'back end': 'unknown until the problems are repaired'}
    return {
        f'back end {device}': f'{choice.name} ({choice.reason})'
        for device, choice in choices.items()
    }


if __name__ == '__main__':
    argparse.ArgumentParser(description='Show what is installed and how to repair it.').parse_args()
    sys.exit(main())
