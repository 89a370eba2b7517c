"""Compiled back end for the CPU: a loss and its gradient are one operator of PyTorch's dispatcher.

It computes :class:`SigmoidCrossEntropy` and :class:`AuthenticSmoothL1` on float16, bfloat16 and
float32 predictions, each level in one read of the prediction and one more for the gradient, on all
threads. The chunked back end computes all other calls: a user's criterion, softmax, float64. Beside
the gradient it takes memory only for tensors that it must copy to another layout or dtype. Two
runs agree to the bit with any number of threads.

Its exponential and logarithm are polynomials with a relative error below 3e-7, so an example whose
gradient norm is that close to an edge may be in the neighbouring region. The computation is in
``csrc/``, which is compiled when the package is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import AuthenticSmoothL1, Criterion, SigmoidCrossEntropy
from ghm_mmdet.method.density import GradientDensity, UnitRegionDensity
from ghm_mmdet.ops import torch_ops
from ghm_mmdet.ops.examples import Examples, RegionSums, level_sums_by
from ghm_mmdet.ops.from_sums import HarmonizedLoss, Reduction

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
        import_module('ghm_mmdet.ops._cpu')
    # an extension compiled for another torch raises more than ImportError
    except Exception as error:
        return f'the compiled one does not load ({" ".join(str(error).split())})'
    if not hasattr(torch.ops.ghm_mmdet_cpu, 'harmonized_loss'):
        return 'the compiled one is of another version of the package, install it again'
    return None


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and loss sums per region, see :func:`ghm_mmdet.ops.region_sums`; no gradient."""
    return level_sums(criterion, [examples._replace(factor=1.0)], edges)[0]


def level_sums(
    criterion: Criterion, levels: Sequence[Examples], edges: Tensor
) -> tuple[RegionSums, Tensor]:
    """Region sums of all levels, see :func:`ghm_mmdet.ops.level_sums`."""
    if not _computes(criterion, levels):
        return level_sums_by(torch_ops, criterion, levels, edges)
    counts, losses, weight_sum, nonfinite, bad_targets = _operator('level_sums')(
        *_arguments(levels), edges, *_named(criterion)
    )
    return RegionSums(counts, losses, weight_sum, nonfinite.sum(), bad_targets), nonfinite


def gradient(criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor) -> Tensor:
    """Each example's gradient times the scale of its region, see the reference."""
    if not _computes(criterion, [examples]):
        return torch_ops.gradient(criterion, examples, edges, scale)
    return _operator('level_gradient')(examples.tensors, scale, edges, *_named(criterion))


def harmonized_loss(
    criterion: Criterion,
    levels: Sequence[Examples],
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    updates: bool,
) -> HarmonizedLoss | None:
    """See :func:`ghm_mmdet.ops.harmonized_loss`; None if the operator cannot compute it."""
    takes = type(density) is UnitRegionDensity and type(balance) is Balance
    if not (takes and _computes(criterion, levels)):
        return None
    average, average_weight = (*density.state, None, None)[:2]
    return HarmonizedLoss(
        *_operator('harmonized_loss')(
            *_arguments(levels),
            density.edges,
            average,
            average_weight,
            *_named(criterion),
            density.decays,
            density.momentum,
            balance.equal == 'gradient',
            balance.tempering,
            balance.outliers == 'keep',
            *reduction,
            updates,
        )
    )


@lru_cache(maxsize=None)
def _operator(name: str) -> Callable:
    return getattr(torch.ops.ghm_mmdet_cpu, name).default


def _computes(criterion: Criterion, levels: Sequence[Examples]) -> bool:
    # a subclass may compute something else
    return type(criterion) in COMPILED and all(
        level.prediction.dtype in DTYPES and level.prediction.device.type == 'cpu'
        for level in levels
    )


def _named(criterion: Criterion) -> tuple[str, float]:
    return COMPILED[type(criterion)], getattr(criterion, 'mu', 0.0)


def _arguments(levels: Sequence[Examples]) -> tuple[list[Tensor | None], list[float]]:
    tensors = [tensor for level in levels for tensor in level.tensors]
    return tensors, [float(level.factor) for level in levels]
