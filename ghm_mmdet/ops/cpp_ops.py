"""Compiled back end for the CPU: the region sums in one read of the prediction, on all threads.

It computes :class:`SigmoidCrossEntropy` and :class:`AuthenticSmoothL1` on float16, bfloat16 and
float32 predictions that are a matrix, or become one without a copy. All else goes to the chunked
back end: a user's criterion, softmax, float64, other layouts. The gradient is the only memory it
takes, and two runs agree to the bit whatever the number of threads. The computation is in
``csrc/region_sums.cpp``, which is compiled when the package is installed.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    DenseTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.ops import torch_ops
from ghm_mmdet.ops.examples import Examples, RegionSums
from ghm_mmdet.ops.target_range import bad_targets

COMPILED = {
    SigmoidCrossEntropy: 'sigmoid_cross_entropy',
    AuthenticSmoothL1: 'authentic_smooth_l1',
}
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def obstacle() -> str | None:
    """Why this back end cannot be used, in one line; None if it can."""
    if find_spec('ghm_mmdet.ops._cpu') is None:
        return 'the package was installed without the compiled one, which needs a C++ compiler'
    try:
        compiled = _compiled()
    # an extension compiled for another torch raises more than ImportError
    except Exception as error:
        return f'the compiled one does not load ({" ".join(str(error).split())})'
    here = torch.backends.cpu.get_cpu_capability()
    if not here.startswith('AVX') and compiled.capability != 'DEFAULT':
        return f'the compiled one is for {compiled.capability}, this CPU has {here}'
    return None


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    arguments = _arguments(criterion, examples, edges)
    if arguments is None:
        return torch_ops.region_sums(criterion, examples, edges)
    counts, losses, weight_sum, nonfinite = _compiled().region_sums(*arguments)
    return RegionSums(counts, losses, weight_sum, nonfinite, bad_targets(criterion, examples))


def gradient(criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor) -> Tensor:
    """Each example's gradient times the scale of its region, see the reference."""
    arguments = _arguments(criterion, examples, edges)
    if arguments is None:
        return torch_ops.gradient(criterion, examples, edges, scale)
    prediction = examples.prediction
    layout = torch.preserve_format if prediction.dim() <= 2 else torch.contiguous_format
    result = torch.empty_like(prediction, memory_format=layout)
    _compiled().gradient(*arguments, scale.float().contiguous(), _matrix(result))
    return result


def _compiled() -> ModuleType:
    from ghm_mmdet.ops import _cpu  # type: ignore[attr-defined]

    return _cpu


def _arguments(criterion: Criterion, examples: Examples, edges: Tensor) -> tuple | None:
    """The arguments of the compiled functions, or None where those cannot compute this."""
    prediction, target, weight, _ = examples
    # a subclass may compute something else
    name = COMPILED.get(type(criterion))
    matrix = _matrix(prediction)
    takes = name is not None and prediction.dtype in DTYPES and prediction.numel() > 0
    if not takes or matrix is None or prediction.device.type != 'cpu':
        return None
    labels = score = values = None
    if isinstance(target, DenseTarget):
        values = target.values.float().reshape(matrix.shape)
    else:
        labels = target.labels.long().contiguous()
        score = None if target.score is None else target.score.float().contiguous()
        # the compiled code reads as many of each as there are rows
        if any(each is not None and each.shape != matrix.shape[:1] for each in (labels, score)):
            raise ValueError(f'labels and scores: must have the shape ({len(matrix)},)')
    if weight is not None:
        weight = weight.float().expand(prediction.shape).reshape(matrix.shape)
    mu = getattr(criterion, 'mu', 0.0)
    return name, mu, matrix, labels, score, values, weight, edges.contiguous()


def _matrix(tensor: Tensor) -> Tensor | None:
    """The (N, C) view of (..., C), or of (N, 1) of (N,); None if it takes a copy."""
    if tensor.dim() == 2:
        return tensor.detach()
    columns = tensor.size(-1) if tensor.dim() > 1 else 1
    try:
        return tensor.detach().view(-1, columns)
    except RuntimeError:
        return None
