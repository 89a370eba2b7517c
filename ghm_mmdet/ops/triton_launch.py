"""Launches kernels without most of what Triton does in Python for every launch.

``kernel[grid](...)`` inspects each argument to find the binary that was compiled for such
arguments. A caller who knows that all arguments are of the same kinds as before can keep the
binary.
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
        key: Identifies the binary, together with ``launch`` and the device: it stands for the
            constants, and for the addresses among the arguments that are 0.
        arguments: Integers and floats. Arguments that are no address must have the same values
            whenever ``launch`` and ``key`` are the same, or not be specialized by the kernel.
        constants: Compile-time arguments.
    """
    device = torch.cuda.current_device() if torch.cuda.is_initialized() else None
    called = launch.binaries.get((key, device), kernel)
    binary = called[launch.programs, 1, 1](*arguments, *constants, *launch.constants)
    if called is kernel and binary is not None:  # an interpreter has none
        launch.binaries[key, device] = binary
