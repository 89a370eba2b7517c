"""Which back end computes the region sums: as the user says, or by device."""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch

from ghm_mmdet.ops import cpp_ops, self_check

MODULES = {
    'reference': 'reference',
    'torch': 'torch_ops',
    'cpp': 'cpp_ops',
    'triton': 'triton_ops',
    'float32': 'float32_ops',
}
VARIABLE = 'GHM_MMDET_BACKEND'


class Choice(NamedTuple):
    """A back end and why it was taken.

    Attributes:
        name: One of ``MODULES``.
        reason: A phrase for the user.
        is_fallback: Whether the back end made for the device cannot be used.
    """

    name: str
    reason: str
    is_fallback: bool = False


def choose(device: torch.device, name: str | None = None) -> Choice:
    """The back end for tensors on a device.

    Args:
        device: Where the predictions are.
        name: The back end that a loss asks for. It wins over the environment variable
            ``GHM_MMDET_BACKEND``, and that over the device. What was asked for is not checked
            before :func:`load`.

    Raises:
        ValueError: The variable names no back end.
    """
    if name is not None:
        return Choice(name, 'asked for by the loss')
    name = os.environ.get(VARIABLE)
    if name is not None:
        if name not in MODULES:
            raise ValueError(f'{VARIABLE}={name!r}: must be one of {", ".join(sorted(MODULES))}')
        return Choice(name, f'forced by {VARIABLE}')
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


@cache
def _cpp_obstacle() -> str | None:
    return cpp_ops.obstacle()


@cache
def load(name: str) -> ModuleType:
    """The back end's module, imported when it is first used: Triton need not be installed.

    Raises:
        ValueError: It is 'cpp', and the compiled part cannot be used.
    """
    obstacle = _cpp_obstacle() if name == 'cpp' else None
    if obstacle is not None:
        raise ValueError(f"backend='cpp': {obstacle}; must be 'torch', 'reference' or None")
    return import_module(f'ghm_mmdet.ops.{MODULES[name]}')


def module_for(device: torch.device, name: str | None) -> ModuleType:
    """The module of the back end that :func:`choose` names; a fallback is logged once."""
    choice = choose(device, name)
    if choice.is_fallback:
        _warn(f'{device}: GHM losses use the back end {choice.name!r}, {choice.reason}')
    return load(choice.name)


@cache
def _warn(message: str) -> None:
    # the back ends need torch alone, and the doctor asks for them where mmengine is missing
    from mmengine.logging import print_log

    print_log(message, logger='current', level=logging.WARNING)
