"""The arguments that all benchmarks take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.machine import Machine
from benchmarks.measure import EFFORT, ONCE
from ghm_mmdet.ops import backends

RESULTS = Path(__file__).parent / 'results'
FOR_THE_PROCESS = ExitStack()
"""Contexts that stay open until the program ends."""


@dataclass(frozen=True)
class Options:
    """The options of a benchmark.

    Attributes:
        machine: To run on.
        quick: Tiny inputs, once each, to check that everything runs.
        results: Folder for the results; None writes nothing.
    """

    machine: Machine
    quick: bool
    results: Path | None


def read_options(description: str, arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line, or ``arguments``; a back end asked for is forced from here on."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--device', choices=list(EFFORT), help='by default cuda, where there is one'
    )
    parser.add_argument('--backend', choices=sorted(backends.MODULES), help='force a back end')
    parser.add_argument('--quick', action='store_true', help='tiny inputs, no results written')
    parser.add_argument(
        '--results', type=Path, help='folder to write to (benchmarks/results, but with --quick)'
    )
    args = parser.parse_args(arguments)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no CUDA device')
    if args.backend:
        FOR_THE_PROCESS.enter_context(backends.use_backend(args.backend))
    return Options(
        machine=Machine(torch.device(device), ONCE if args.quick else EFFORT[device]),
        quick=args.quick,
        results=args.results or (None if args.quick else RESULTS),
    )
