"""Support of torch.compile for the losses, in every torch from 2.0 on.

``torch.library.custom_op`` came with torch 2.4, and the compiler of torch 2.8 is the first that can
trace the losses. With an older torch an operator is a function with a gradient, no call is
traced, and a compiled model leaves its graph for the losses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

__all__ = ['OPERATORS', 'assume_constant_result', 'custom_op', 'is_compiling', 'not_traced']

OPERATORS = torch.__version__ >= (2, 8)  # type: ignore[operator]
"""Whether the losses are custom operators here, and become part of a compiled graph."""


class _Operator:
    """A custom operator without the part of its interface that only a compiler uses."""

    def __init__(self, function: Callable) -> None:
        self._call = function

    def __call__(self, *inputs: Any) -> Any:
        return self._call(*inputs)

    def register_fake(self, function: Callable) -> Callable:
        return function

    def register_autograd(self, backward: Callable, *, setup_context: Callable) -> None:
        class _Function(torch.autograd.Function):
            pass

        members = {'forward': self._call, 'setup_context': setup_context, 'backward': backward}
        for name, member in members.items():
            setattr(_Function, name, staticmethod(member))
        self._call = _Function.apply


if TYPE_CHECKING or OPERATORS:
    from torch.compiler import assume_constant_result, is_compiling
    from torch.library import custom_op

    def not_traced(function: Callable) -> Callable:
        """Take a function out of compiled graphs if there are no custom operators."""
        return function

else:
    from torch._dynamo import disable as not_traced

    def custom_op(name, function=None, *, mutates_args, schema):
        """Make an operator of a function."""
        return _Operator if function is None else _Operator(function)

    def is_compiling() -> bool:
        """Whether a compiler traces this call."""
        return False

    def assume_constant_result(function: Callable) -> Callable:
        """Trace a function's result as a constant."""
        return function
