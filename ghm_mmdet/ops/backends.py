"""Chooses the back end that computes the region sums: a forced one, or one by device.

A back end is a module with two functions, and up to four more:

- ``region_sums(criterion, examples, edges)`` returns the :class:`RegionSums` of the examples of one
  call, without their factor and without a gradient;
- ``gradient(criterion, examples, edges, scale)`` returns each example's gradient times the scale of
  its region, in the prediction's shape and dtype;
- ``level_sums`` and ``level_gradients`` (optional) do the same for all levels in fewer
  launches, with the levels' factors, or return None for a call that they cannot compute;
- ``loss_from_sums`` (optional) computes :func:`ghm_mmdet.ops.from_sums.loss_from_sums`;
- ``harmonized_loss`` (optional) computes :func:`ghm_mmdet.ops.harmonized_loss` at once,
  or returns None for a call that it cannot compute.

:mod:`ghm_mmdet.ops.reference` is the shortest, and the oracle of the others.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch

from ghm_mmdet.ops import cpp_ops, self_check

MODULES = {
    'reference': 'ghm_mmdet.ops.reference',
    'torch': 'ghm_mmdet.ops.torch_ops',
    'cpp': 'ghm_mmdet.ops.cpp_ops',
    'triton': 'ghm_mmdet.ops.triton_ops',
    'float32': 'ghm_mmdet.ops.float32_ops',
}
VARIABLE = 'GHM_MMDET_BACKEND'

_forced = os.environ.get(VARIABLE) or None


class Choice(NamedTuple):
    """A back end and the reason for its choice.

    Attributes:
        name: One of ``MODULES``.
        reason: A phrase for the user.
        is_fallback: Whether the back end made for the device cannot be used.
    """

    name: str
    reason: str
    is_fallback: bool = False


def register_backend(name: str, module: str) -> None:
    """Register a new back end by name, for :func:`use_backend` and ``GHM_MMDET_BACKEND``.

    Args:
        name: The new name; a known one is replaced.
        module: Import path of the module, see above; it is imported when it is first used.
    """
    MODULES[name] = module
    load.cache_clear()


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Force a back end for all losses called in this context, and for their backward passes.

    It has priority over the environment variable ``GHM_MMDET_BACKEND``, which is read when the
    package is imported. With ``reduction='none'`` the reference computes the losses of the
    examples, and the forced back end the counts for their weights.

    Args:
        name: One of ``MODULES``.

    Raises:
        ValueError: There is no such back end. Whether it can be used shows in the first call.
    """
    global _forced
    _check_name('use_backend', name)
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def forced() -> str | None:
    """The name of the back end that is forced, or None."""
    return _forced


def choose(device: torch.device, name: str | None = None) -> Choice:
    """The back end for tensors on a device.

    Args:
        device: Where the predictions are.
        name: A forced back end, see :func:`forced`, or None for the device's own.

    Raises:
        ValueError: There is no back end of that name.
    """
    if name is not None:
        _check_name(VARIABLE, name)
        return Choice(name, f'forced by {VARIABLE} or use_backend')
    if device.type == 'cpu':
        obstacle = _cpp_obstacle()
        if obstacle is None:
            return Choice('cpp', 'compiled, for the CPU')
        return Choice('torch', f'chunked: {obstacle}')
    if device.type != 'cuda':
        return Choice('float32', f'none is made for {device.type}, which may have no float64')
    obstacle = self_check.triton_obstacle(device)
    if obstacle is None:
        return Choice('triton', 'fused kernels that agree with the reference here')
    return Choice('reference', f'instead of triton: {obstacle}', is_fallback=True)


def module_for(device: torch.device, name: str | None) -> ModuleType:
    """The module of the back end that :func:`choose` names; warns once of a fallback."""
    choice = choose(device, name)
    if choice.is_fallback:
        _warn(f'{device}: GHM losses use the back end {choice.name!r}, {choice.reason}')
    return load(choice.name)


@lru_cache(maxsize=None)
def load(name: str) -> ModuleType:
    """The back end's module, imported when it is first used, because Triton may be missing.

    Raises:
        ValueError: It lacks a function, or is 'cpp' and the compiled part cannot be used.
    """
    obstacle = _cpp_obstacle() if name == 'cpp' else None
    if obstacle is not None:
        raise ValueError(f"back end 'cpp': {obstacle}; must be another one, such as 'torch'")
    module = import_module(MODULES[name])
    if not (hasattr(module, 'region_sums') and hasattr(module, 'gradient')):
        raise ValueError(
            f'back end {name!r}: {MODULES[name]} must have the functions region_sums and gradient'
        )
    return module


def _check_name(place: str, name: str) -> None:
    if name not in MODULES:
        raise ValueError(f'{place}={name!r}: must be one of {", ".join(sorted(MODULES))}')


@lru_cache(maxsize=None)
def _cpp_obstacle() -> str | None:
    return cpp_ops.obstacle()


@lru_cache(maxsize=None)
def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=2)
