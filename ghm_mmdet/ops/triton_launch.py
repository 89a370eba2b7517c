"""Launches kernels without most of what Triton does in Python for every launch.

``kernel[grid](...)`` looks at each argument to find the binary that was compiled for its like. A
caller who knows that all are such as the last time can keep the binary.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor
from triton.runtime.jit import JITFunction

from ghm_mmdet.ops.triton_layout import ALWAYS_DIVISIBLE, Launch

# Larger integers have another type, and so another binary.
INT32 = 2**31


def run(
    kernel: JITFunction, launch: Launch, key: Hashable, arguments: tuple, constants: tuple
) -> None:
    """Launch a kernel on the current device and stream.

    Args:
        kernel: Takes the arguments, the constants and those of ``launch`` by position.
        launch: Keeps the binaries.
        key: With ``launch`` and the device it says which binary it is: which constants, and of what
            type the arguments are.
        arguments: Integers and floats.
        constants: Compile-time arguments.
    """
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
    binary = launch.binaries.get((key, device))
    compiled_anew = binary is None
    called = kernel if binary is None else binary
    result = called[launch.programs, 1, 1](*arguments, *constants, *launch.constants)
    numbers = (number for row in launch.rows for number in row)
    # an interpreter leaves no binary
    if compiled_anew and result is not None and all(number < INT32 for number in numbers):
        launch.binaries[key, device] = result


def pointers(*tensors: Tensor | None) -> tuple[int, ...]:
    """Addresses for a kernel, see ``pointer`` there; 0 where there is no tensor."""
    return tuple([0 if each is None else ALWAYS_DIVISIBLE * each.data_ptr() for each in tensors])
