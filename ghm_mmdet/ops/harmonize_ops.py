"""The loss of region sums, in one launch where there is a kernel for it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from ghm_mmdet.balance import Balance
from ghm_mmdet.density import GradientDensity
from ghm_mmdet.ops import backends
from ghm_mmdet.ops.harmonize import Reduction, in_turn
from ghm_mmdet.ops.sums import RegionSums


def harmonized_loss(
    density: GradientDensity,
    balance: Balance,
    reduction: Reduction,
    sums: RegionSums,
    seen: RegionSums,
    keep_old: Tensor | None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """See :func:`ghm_mmdet.ops.harmonize.in_turn`.

    Args:
        backend: That the loss asks for, or None.
    """
    module = _fused(density, sums, backend)
    compute = in_turn if module is None else module.harmonized_loss
    return compute(density, balance, reduction, sums, seen, keep_old)


def _fused(density: GradientDensity, sums: RegionSums, backend: str | None) -> ModuleType | None:
    """The module with the kernel, where it can be used."""
    # a compiler fuses the operations by itself, and sees through them
    if torch.compiler.is_compiling():
        return None
    if backends.choose(sums.losses.device, backend).name != 'triton':
        return None
    module = import_module('ghm_mmdet.ops.triton_harmonize')
    return module if module.takes(density, sums) else None
