"""Collect what `make bench-cuda WHEELS=FOLDER` installs on a machine without a network.

python -m benchmarks.wheels FOLDER [--python 3.12] [--have FILE]

FILE is what `python -m pip freeze` prints on that machine (x86-64 Linux): what it has is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from tqdm import tqdm

from benchmarks.cuda_environment import PINS, missing, name_of, read_requirements

# pip takes a wheel only for the platforms that are named to it.
PLATFORMS = [f'manylinux_2_{minor}_x86_64' for minor in (35, 34, 31, 28, 27, 24, 17, 12, 5)]
PLATFORMS += ['manylinux2014_x86_64', 'manylinux2010_x86_64', 'manylinux1_x86_64', 'linux_x86_64']
# mmcv is built in isolation, which sees none of the other machine's own packages.
BUILDS_MMCV = {'packaging'}


def commands(folder: Path, python: str, have: list[str]) -> dict[str, list[list[str]]]:
    """Per requirement the calls of pip that put it into the folder; the first that works counts.

    Args:
        folder: For the packages.
        python: The other machine's Python release, such as '3.12'.
        have: Names of the distributions that it has.
    """
    pip = [sys.executable, '-m', 'pip']
    options = ['-q', '--no-deps', '--disable-pip-version-check']
    binary = ['--only-binary=:all:', '--implementation=cp', f'--python-version={python}']
    binary += [f'--platform={each}' for each in PLATFORMS]
    have = [each for each in have if each not in BUILDS_MMCV]
    environment = {'python_version': python}
    pinned = [
        f'{each.name}{each.specifier}'
        for each in map(Requirement, missing(read_requirements(*PINS), have))
        if each.marker is None or each.marker.evaluate(environment)
    ]
    result = {
        each: [
            [*pip, 'download', *options, *binary, '--dest', str(folder), each],
            # without a wheel on the index: a wheel made here fits there if it is plain Python
            [*pip, 'wheel', *options, '--wheel-dir', str(folder), each],
        ]
        for each in read_requirements('build.txt') + pinned
    }
    # as source: it is installed without operators, and the measured operator is compiled
    mmcv = read_requirements('mmcv.txt')[0]
    source = [f'--no-binary={name_of(mmcv)}', '--dest', str(folder)]
    return {**result, mmcv: [[*pip, 'download', *options, *source, mmcv]]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', type=Path)
    parser.add_argument('--python', default='3.12', help='release of Python there (%(default)s)')
    parser.add_argument('--have', type=Path, metavar='FILE', help='its list of packages')
    args = parser.parse_args()
    lines = args.have.read_text().splitlines() if args.have else []
    have = [line.partition('==')[0].partition(' @')[0].strip() for line in lines]
    failed = []
    for requirement, calls in tqdm(commands(args.folder, args.python, have).items()):
        errors = []
        for call in calls:
            done = subprocess.run(call, capture_output=True, text=True)
            if done.returncode == 0:
                break
            errors.append(done.stderr)
        else:
            failed.append(requirement)
            print(*errors, sep='\n', file=sys.stderr)
    size = sum(path.stat().st_size for path in args.folder.iterdir())
    print(f'{args.folder}: {size / 2**20:.0f} MiB')
    if failed:
        print(f'could not be had: {", ".join(failed)}', file=sys.stderr)
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
