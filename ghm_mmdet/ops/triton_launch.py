"""Launches kernels without most of what Triton does in Python for every launch.

``kernel[grid](...)`` looks at each argument to find the binary that was compiled for its like. A
caller who knows that all are such as the last time can keep the binary.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from triton.runtime.jit import JITFunction

from ghm_mmdet.ops.triton_layout import Launch


def run(
    kernel: JITFunction, launch: Launch, key: Hashable, arguments: tuple, constants: tuple
) -> None:
    """Launch a kernel on the current device and stream.

    Args:
        kernel: Takes the arguments, the constants and those of ``launch`` by position.
        launch: Keeps the binaries.
        key: With ``launch`` and the device it says which binary it is: which constants, and which
            addresses among the arguments are 0.
        arguments: Integers and floats. Those that are no address have the same values whenever
            ``launch`` and ``key`` are the same, or are not specialized by the kernel.
        constants: Compile-time arguments.
    """
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
    called = launch.binaries.get((key, device), kernel)
    binary = called[launch.programs, 1, 1](*arguments, *constants, *launch.constants)
    if called is kernel and binary is not None:  # an interpreter has none
        launch.binaries[key, device] = binary
