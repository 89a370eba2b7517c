"""Runs all measurements on a machine with CUDA, in one command and less than 8 minutes.

python -m benchmarks.cuda [--wheels FOLDER] [--backend triton] [--results FOLDER] [--rehearse]

It makes an environment in build/, compiles the one operator of mmcv that is measured, runs the
benchmarks and then the tests that need a GPU. A step that fails is reported and the others still
run. Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.cuda_environment import ROOT

ENVIRONMENT = ROOT / 'build' / 'bench-cuda'
MOST_SECONDS = 470
SELECT = 'triton or cuda or gpu or device or self_check'
# on several cores, since each test compiles kernels of its own
TEST_OPTIONS = ('-q', '-n', 'auto', '--maxprocesses', '8', '-m', 'not long', '-k', SELECT)
TESTS = ('tests/ops', 'tests/losses', 'tests/heads', 'tests/benchmarks/test_device_time.py')


class Step(NamedTuple):
    """A command and the seconds that it may take."""

    name: str
    command: Sequence[str]
    seconds: float


class Outcome(NamedTuple):
    """The outcome of a step."""

    name: str
    seconds: float
    state: str


def plan(
    folder: Path,
    wheels: Path | None = None,
    backend: str | None = None,
    results: Path | None = None,
    rehearse: bool = False,
) -> list[Step]:
    """All steps.

    Args:
        folder: Of the environment.
        wheels: The only place to install from; None for the package index.
        backend: Of GHM; None for its own choice.
        results: Folder for the results; None for the benchmarks' own choice.
        rehearse: On the CPU with tiny inputs, to check that everything runs.
    """
    python = str(folder / 'bin' / 'python')
    options = ['--device', 'cpu', '--quick'] if rehearse else ['--device', 'cuda']
    options += ['--backend', backend] if backend else []
    options += ['--results', str(results)] if results else []
    offline = ['--wheels', str(wheels)] if wheels else []
    any_torch = ['--without-cuda'] if rehearse else []
    prepare = [sys.executable, '-m', 'benchmarks.cuda_environment', str(folder)]

    def module(name: str, *arguments: str) -> list[str]:
        return [python, '-m', f'benchmarks.{name}', *arguments]

    return [
        Step('environment', [*prepare, *offline, *any_torch], 120),
        Step("mmcv's focal loss", module('mmcv_focal.build'), 120),
        Step('GHM-C', module('ghmc_loss', *options), 140),
        Step('GHM-R', module('ghmr_loss', *options), 90),
        Step('fixed cost', module('fixed_cost', *options), 30),
        Step('training step', module('training_step', *options), 90),
        Step('targets', module('targets', *([str(results)] if results else [])), 20),
        Step('tests', [python, '-m', 'pytest', *TEST_OPTIONS, *TESTS], 200),
    ]


def run(steps: Sequence[Step], most_seconds: float = MOST_SECONDS) -> list[Outcome]:
    """Run the steps in turn, also after a failure, and print how each ended.

    Args:
        steps: To run, from the repository's root.
        most_seconds: For all of them together.
    """
    start = time.monotonic()
    outcomes = []
    for step in steps:
        began = time.monotonic()
        left = most_seconds - (began - start)
        print(f'\n=== {step.name} ===', flush=True)
        state = _run(step.command, min(step.seconds, left)) if left > 0 else 'no time was left'
        outcomes.append(Outcome(step.name, time.monotonic() - began, state))
    return outcomes


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command and end it, with its child processes, after some time."""
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1', 'PYTHONWARNINGS': 'ignore'}
    try:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    except OSError as error:
        return f'failed: {error}'
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f'stopped after {seconds:.0f} s'
    finally:
        if process.poll() is None:  # also when this program is interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return 'done' if code == 0 else f'failed with exit code {code}'


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--wheels', type=Path, help='folder to install from, without a network')
    parser.add_argument('--backend', help='of GHM, instead of its own choice')
    parser.add_argument('--results', type=Path, help='folder to write to')
    parser.add_argument('--rehearse', action='store_true', help='tiny inputs on the CPU')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('terminated'))
    paths = {
        name: value and value.resolve()
        for name, value in vars(args).items()
        if name in ('wheels', 'results')
    }
    outcomes = run(plan(ENVIRONMENT, backend=args.backend, rehearse=args.rehearse, **paths))
    print(f'\n{"step":20}{"seconds":>8}')
    for name, seconds, state in outcomes:
        print(f'{name:20}{seconds:8.0f}  {state}')
    return int(any(outcome.state != 'done' for outcome in outcomes))


if __name__ == '__main__':
    sys.exit(main())
