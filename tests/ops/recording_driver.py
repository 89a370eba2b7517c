"""Stands in for the CUDA driver: kernels are compiled for a GPU that is not there, and not run.

``test_triton_launch.py`` runs this file in a process of its own, where Triton is not interpreted.
It prints a line for each step, and one for each launch: the kernel, its programs and arguments.
"""

from __future__ import annotations

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.ops import triton_ops, use_backend


class Launcher:
    """In place of what calls the driver."""

    def __init__(self, source, metadata):
        self.name = source.name

    def __call__(self, x, y, z, stream, function, metadata, launch, enter, leave, *arguments):
        of_device = [each for each in arguments if not isinstance(each, torch.Tensor)]
        print(self.name, x * y * z, len(arguments), without_addresses(of_device), sep=' | ')


class Driver:
    """What Triton asks a driver for."""

    launcher_cls = Launcher
    utils = property(lambda self: self)

    def load_binary(self, *arguments):
        return None, None, 0, 0, 1024

    def get_device_properties(self, device):
        return {'max_shared_mem': 1 << 17}

    def get_current_target(self):
        return GPUTarget('cuda', 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def without_addresses(value):
    """Numbers that are the same in every run."""
    if isinstance(value, (tuple, list)):
        return [without_addresses(each) for each in value]
    if isinstance(value, JITFunction):
        return value.__name__
    return '@' if isinstance(value, int) and value > 1 << 32 else value


def pyramid(sizes, classes):
    """Predictions, labels and weights of some levels."""
    for size in sizes:
        labels = torch.randint(0, classes + 1, (size,))
        yield torch.randn(size, classes, requires_grad=True), labels, torch.ones(size)


def train(loss, levels):
    """One step with one density."""
    with loss.split_levels():
        parts = [loss(*level) for level in levels]
    loss.merge(parts).backward()


if __name__ == '__main__':
    triton.runtime.driver.set_active(Driver())
    triton_ops.INTERPRETED = True
    ghm_c = GHMCLoss(use_sigmoid=True, bins=10, momentum=0.75)
    ghm_r = GHMRLoss(bins=10)
    runs = JITFunction.run

    def counted(self, *arguments, **keywords):
        print('looked up')
        return runs(self, *arguments, **keywords)

    JITFunction.run = counted
    with use_backend('triton'):
        for step in ('first', 'again'):
            print('step', step, sep=' | ')
            train(ghm_c, pyramid((48, 32, 16, 13, 5), 80))
        print('step', 'other sizes', sep=' | ')
        train(ghm_c, pyramid((40, 7), 80))
        print('step', 'two forms', sep=' | ')
        alike, other = pyramid((48, 32), 80)
        train(ghm_c, [alike, (other[0].bfloat16().detach().requires_grad_(), *other[1:])])
        for step in ('boxes', 'boxes again'):
            print('step', step, sep=' | ')
            deltas = torch.randn(12, 4, requires_grad=True)
            ghm_r(deltas, torch.randn(12, 4), torch.ones(12, 4)).backward()
