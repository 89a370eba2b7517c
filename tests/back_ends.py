"""The back ends that tests run with on the CPU."""

import pytest

from ghm_mmdet.ops import cpp_ops

_OBSTACLE = cpp_ops.obstacle()
COMPILED = pytest.param('cpp', marks=pytest.mark.skipif(bool(_OBSTACLE), reason=str(_OBSTACLE)))
ON_CPU = ['reference', 'torch', COMPILED]
