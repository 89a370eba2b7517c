"""Without a CUDA device Triton's kernels are interpreted; Triton reads this when it is imported."""

import os
import sys

import torch

if not torch.cuda.is_available() and 'triton' not in sys.modules:
    os.environ.setdefault('TRITON_INTERPRET', '1')
