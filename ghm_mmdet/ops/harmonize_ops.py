"""The loss of region sums, in one launch where there is a kernel for it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.density import GradientDensity
from ghm_mmdet.ops import backends
from ghm_mmdet.ops.harmonize import Harmonized, Reduction, in_turn
from ghm_mmdet.ops.sums import RegionSums


def harmonized_loss(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    seen: RegionSums,
    keep_old: Tensor | None,
    backend: str | None = None,
) -> Harmonized:
    """The loss of these sums, differentiable in ``sums.losses`` where those are, and its weights.

    Args:
        density: Its moving average is changed in place, see ``keep_old``.
        balance: What the weights make equal.
        reduction: From the sum to the loss.
        sums: Of the examples that the loss is of.
        seen: With the counts that the density is of.
        keep_old: 0-dim; a value other than 0 leaves the moving average as it is. None: do so.
        backend: One of ``backends.MODULES``, or None, see :func:`ghm_mmdet.ops.backends.choose`.
    """
    module = _fused(density, sums, backend)
    compute = in_turn if module is None else module.harmonized_loss
    return compute(density, balance, reduction, sums, seen, keep_old)


def _fused(density: GradientDensity, sums: RegionSums, backend: str | None) -> ModuleType | None:
    """The module with the kernel, where it can be used."""
    # a compiler fuses the operations by itself, and sees through them; the kernel leaves no graph
    if torch.compiler.is_compiling() or sums.losses.requires_grad:
        return None
    if backends.choose(sums.losses.device, backend).name != 'triton':
        return None
    module = _triton_harmonize()
    return module if module.takes(density, sums) else None


@cache
def _triton_harmonize() -> ModuleType:
    return import_module('ghm_mmdet.ops.triton_harmonize')
