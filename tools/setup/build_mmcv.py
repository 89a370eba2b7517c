"""Installs mmcv with compiled operators that fit the torch and the GPU of this environment.

    python tools/setup/build_mmcv.py [requirement] [--wheels PAGE_OR_FOLDER]

Does nothing where that is so already. A wheel with operators that its makers have built for this
Python and torch is tried first. Where there is none, the operators are compiled, which needs
torch, setuptools, wheel and a C++ compiler, and ninja for its pace. A plain `pip install` builds in
isolation, where torch is not seen, and leaves the operators out without a word. pip keeps what it
has built, whatever it was built for. So an operator is run before any wheel is trusted.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from installed_packages import (
    PROVIDERS,
    build_mmcv_command,
    gpu_names,
    nvcc_version,
    pip_command,
    release,
    torch_cuda_version,
    wanted,
)
from problems import cuda_build_obstacle

HEARTBEAT_SECONDS = 30
LOG_TAIL_LINES = 40
WHEELS = {
    'onedl-mmcv': 'https://mmwheels.onedl.ai/{device}-torch{major}{minor}0/simple/onedl-mmcv/index.html',
    'mmcv': 'https://download.openmmlab.com/mmcv/dist/{device}/torch{major}.{minor}.0/index.html',
}
"""Pages of prebuilt wheels, by the distribution."""

RUN_OPS = """
import torch
from mmcv import _ext
from mmcv.ops import nms
compiled_for = _ext.get_compiling_cuda_version()
on_gpu = torch.cuda.is_available() and compiled_for != 'not available'
for device in ('cpu', 'cuda') if on_gpu else ('cpu',):
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]], device=device)
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1]
    assert kept.tolist() == [0, 2]
print(compiled_for)
"""


@dataclass(frozen=True)
class Plan:
    """Whether the operators are to be built for CUDA, and the obstacle if not."""

    cuda: bool
    note: str = ''


def plan_build(gpu: str | None, torch_cuda: str | None, nvcc: str | None) -> Plan:
    """Decide which operators to build.

    Args:
        gpu: The GPU on which the operators are to run; None for the CPU alone.
        torch_cuda: The CUDA release of torch; None for a torch without CUDA.
        nvcc: The release of the CUDA compiler; None if there is none.
    """
    if gpu is None:
        return Plan(cuda=False)
    obstacle = cuda_build_obstacle(torch_cuda, nvcc)
    if obstacle is None:
        return Plan(cuda=True)
    note = f'{gpu}: no CUDA operators for mmcv, those for the CPU are built instead. For CUDA: '
    return Plan(cuda=False, note=f'{note}{obstacle}, then {build_mmcv_command()}')


def build_variables(plan: Plan, inherited: dict[str, str]) -> dict[str, str]:
    """Return the environment variables to build with."""
    variables = {'MAX_JOBS': str(len(os.sched_getaffinity(0))), **inherited, 'MMCV_WITH_OPS': '1'}
    # ninja is looked up as a command, and the environment need not be activated.
    variables['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), inherited['PATH']])
    # Debug information takes half of the compile time.
    variables['CPPFLAGS'] = f'{inherited.get("CPPFLAGS", "")} -g0'.strip()
    variables['FORCE_CUDA'] = str(int(plan.cuda))
    if not plan.cuda:
        variables['CUDA_VISIBLE_DEVICES'] = ''
    return variables


def is_right(requirement: str, plan: Plan) -> bool:
    """Whether the installed mmcv is the required one with operators that run, as planned."""
    from packaging.requirements import Requirement

    asked = Requirement(requirement)
    found = release(asked.name)
    if found is None or not asked.specifier.contains(found, prereleases=True):
        return False
    shown = subprocess.run([sys.executable, '-c', RUN_OPS], capture_output=True, text=True)
    if shown.returncode:
        return False
    return not plan.cuda or shown.stdout.split()[-1:] != ['available']


def wheels_page(requirement: str, torch: str, torch_cuda: str | None, gpu: str | None) -> str:
    """Return the page with the prebuilt wheels of an mmcv for this torch.

    Args:
        requirement: Of mmcv, such as ``onedl-mmcv==2.3.6``.
        torch: Its release, such as '2.8.0+cu128'.
        torch_cuda: The CUDA release of torch; None for a torch without CUDA.
        gpu: What the operators are to run on; None for the CPU alone.
    """
    device = f'cu{torch_cuda.replace(".", "")}' if gpu and torch_cuda else 'cpu'
    major, minor = torch.split('.')[:2]
    page = WHEELS['onedl-mmcv' if requirement.startswith('onedl-') else 'mmcv']
    return page.format(device=device, major=major, minor=minor)


def _install_prebuilt(requirement: str, plan: Plan, page: str) -> bool:
    options = ['-q', '--no-deps', '--force-reinstall', '--only-binary=:all:', '--no-index']
    patience = ['--timeout=15', '--retries=0', '--disable-pip-version-check']
    command = [sys.executable, '-m', 'pip', 'install', *options, *patience, '-f', page, requirement]
    done = subprocess.run(command, capture_output=True)
    return done.returncode == 0 and is_right(requirement, plan)


def run_with_heartbeat(command: list[str], variables: dict[str, str], log: Path) -> int:
    """Run a long command into a log, print its progress now and then, and return its status."""
    start = time.monotonic()
    with log.open('w') as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
        while True:
            try:
                return process.wait(HEARTBEAT_SECONDS)
            except subprocess.TimeoutExpired:
                minutes, seconds = divmod(int(time.monotonic() - start), 60)
                print(f'  {minutes}:{seconds:02} min{_compiled(log.read_text())}', flush=True)


def _compiled(log: str) -> str:
    steps = re.findall(r'^\s*\[(\d+)/(\d+)\]', log, flags=re.MULTILINE)
    return f', {steps[-1][0]} of {steps[-1][1]} files compiled' if steps else ''


def _install(requirement: str, plan: Plan, log: Path) -> bool:
    # Verbose for the compiler's progress; forced because the installed one is known to be wrong.
    options = ['-v', '--no-deps', '--no-build-isolation', '--force-reinstall']
    command = [sys.executable, '-m', 'pip', 'install', *options, requirement]
    status = run_with_heartbeat(command, build_variables(plan, dict(os.environ)), log)
    return status == 0 and is_right(requirement, plan)


def _forget_cached_wheel(log: Path) -> bool:
    """Remove the wheel that pip took from its cache; return whether there was one."""
    used = re.search(r'Using cached (\S+)\.whl', log.read_text())
    if used is None:
        return False
    command = [sys.executable, '-m', 'pip', 'cache', 'remove', used.group(1)]
    return subprocess.run(command).returncode == 0


def _build(requirement: str, plan: Plan) -> int:
    """Compile and install mmcv, unless that is done; return the exit status."""
    kind = 'CUDA' if plan.cuda else 'CPU'
    success = f'{requirement} is installed, its {kind} operators run'
    if plan.note:
        print(plan.note)
    if is_right(requirement, plan):
        print(success)
        return 0
    log = Path(sys.prefix, 'mmcv-build.log')
    print(
        f'Installing {requirement} with {kind} operators. Where pip has no wheel of an earlier '
        f'build, this compiles them: 10 to 25 minutes on 2 cores, once. Log: {log}',
        flush=True,
    )
    done = _install(requirement, plan, log)
    if not done and _forget_cached_wheel(log):
        print('The wheel in the cache of pip does not fit, building a new one', flush=True)
        done = _install(requirement, plan, log)
    if done:
        print(success)
        return 0
    print(*log.read_text().splitlines()[-LOG_TAIL_LINES:], sep='\n', file=sys.stderr)
    print(f'{requirement} could not be built with its operators: see {log}', file=sys.stderr)
    return 1


def _missing() -> str | None:
    """Say which package is missing or broken, and how to install it."""
    for module in ('packaging', 'torch'):
        if find_spec(module) is None:
            install = pip_command('install', wanted(module))
            return f'{module} has to be installed first: {install}'
        try:
            import_module(module)
        except Exception as error:
            reason = ' '.join(str(error).split())
            install = pip_command('install', '--force-reinstall', wanted(module))
            return f'{module} is installed and cannot be imported ({reason}): {install}'
    return None


def _misread(requirement: str) -> str | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        if Requirement(requirement).name in PROVIDERS['mmcv']:
            return None
    except InvalidRequirement:
        pass
    return f'requirement={requirement!r}: must be an mmcv, such as {wanted("mmcv")}'


def main() -> int:
    """Build and install what is missing; return the exit status."""
    parser = argparse.ArgumentParser(description='Build mmcv with operators that fit.')
    parser.add_argument('requirement', nargs='?', help='such as onedl-mmcv==2.3.6')
    parser.add_argument('--wheels', help='page or folder of prebuilt wheels (the public ones)')
    args = parser.parse_args()
    requirement = args.requirement or wanted('mmcv')
    obstacle = _missing() or _misread(requirement)
    if obstacle:
        print(obstacle, file=sys.stderr)
        return 1
    names = gpu_names() or (['FORCE_CUDA=1'] if os.environ.get('FORCE_CUDA') == '1' else [])
    gpu, torch_cuda = next(iter(names), None), torch_cuda_version()
    # prebuilt ones need no compiler for CUDA
    ready = Plan(cuda=bool(gpu and torch_cuda))
    page = args.wheels or wheels_page(requirement, release('torch') or '', torch_cuda, gpu)
    if is_right(requirement, ready) or _install_prebuilt(requirement, ready, page):
        print(f'{requirement} is installed, its {"CUDA" if ready.cuda else "CPU"} operators run')
        return 0
    print(f'{requirement}: no prebuilt wheel that runs here on {page}')
    return _build(requirement, plan_build(gpu, torch_cuda, nvcc_version()))


if __name__ == '__main__':
    sys.exit(main())
