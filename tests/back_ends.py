"""The back ends that tests run with on the CPU."""

import pytest

from ghm_mmdet.ops import cpp_ops
from ghm_mmdet.ops.compiling import OPERATORS

_OBSTACLE = cpp_ops.obstacle()
NEEDS_COMPILED = pytest.mark.skipif(bool(_OBSTACLE), reason=str(_OBSTACLE))
COMPILED = pytest.param('cpp', marks=NEEDS_COMPILED)
ON_CPU = ['reference', 'torch', COMPILED]
NEEDS_TORCH_2_8 = pytest.mark.skipif(not OPERATORS, reason='needs torch 2.8')
"""For its custom operators, and for what it has of float16 on a CPU."""
