"""Compile mmcv's sigmoid focal loss for CUDA, beside an mmcv that was installed without operators.

python -m benchmarks.mmcv_focal.build
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
NAME = '_focal_loss'
LOADS = f'import torch, mmcv.{NAME}'


def main() -> None:
    spec = find_spec('mmcv')
    if spec is None:
        sys.exit('mmcv is not installed')
    mmcv = Path(spec.origin).parent
    if not mmcv.is_relative_to(sys.prefix):
        print(f'{mmcv} is not of this environment and is left as it is')
        return
    if subprocess.run([sys.executable, '-c', LOADS], capture_output=True).returncode == 0:
        print('compiled before')
        return
    # ninja is looked up as a command, and the environment need not be activated
    os.environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    from torch.utils.cpp_extension import load

    csrc = mmcv / 'ops' / 'csrc'
    with tempfile.TemporaryDirectory() as folder:
        module = load(
            NAME,
            [str(HERE / 'binding.cpp'), str(csrc / 'pytorch' / 'cuda' / 'focal_loss_cuda.cu')],
            extra_include_paths=[str(each) for each in (csrc / 'common', csrc / 'common' / 'cuda')],
            build_directory=folder,
            with_cuda=True,
        )
        shutil.copy(module.__file__, mmcv)
    print(f'compiled into {mmcv}')


if __name__ == '__main__':
    main()
