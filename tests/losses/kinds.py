"""The kinds of calls that the losses take: how to make the loss, and what a head hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss

WIDTH = 4  # classes, or coordinates of a box


class Call(NamedTuple):
    """A prediction (size, WIDTH) in float32 and the arguments that follow it."""

    prediction: Tensor
    arguments: tuple


class Kind(NamedTuple):
    """A way to call a loss.

    Attributes:
        make: The loss, from keyword arguments.
        arguments: What follows the prediction, for so many anchors.
    """

    make: Callable[..., GHMLoss]
    arguments: Callable[[int, Generator], tuple]

    def call(self, size: int, seed: int = 0, device: str = 'cpu') -> Call:
        """A call on ``size`` anchors or boxes."""
        random = Generator().manual_seed(seed)
        prediction = torch.randn(size, WIDTH, generator=random)
        arguments = self.arguments(size, random)
        return Call(prediction.to(device), _moved(arguments, device))


def _moved(argument: object, device: str) -> object:
    if isinstance(argument, tuple):
        return tuple(_moved(part, device) for part in argument)
    return argument.to(device)


def _ghmc(**arguments) -> GHMCLoss:
    return GHMCLoss(use_sigmoid=True, **arguments)


def _labels(size: int, random: Generator) -> Tensor:
    return torch.randint(0, WIDTH + 1, (size,), generator=random)


def _weight(size: int, random: Generator) -> Tensor:
    return (torch.rand(size, generator=random) > 0.3).float()


def _values(size: int, random: Generator) -> Tensor:
    return torch.rand(size, WIDTH, generator=random)


KINDS = {
    'labels': Kind(_ghmc, lambda n, r: (_labels(n, r),)),
    'labels and weight': Kind(_ghmc, lambda n, r: (_labels(n, r), _weight(n, r))),
    'labels and score': Kind(_ghmc, lambda n, r: ((_labels(n, r), torch.rand(n, generator=r)),)),
    'values': Kind(_ghmc, lambda n, r: (_values(n, r), _weight(n, r))),
    'boxes': Kind(GHMRLoss, lambda n, r: (_values(n, r),)),
    'boxes and weight': Kind(GHMRLoss, lambda n, r: (_values(n, r), _weight(n, r))),
}
STATES = {
    'moving average': dict(momentum=0.75),
    'bias correction': dict(momentum=0.75, bias_correction=True, density='paper'),
    'exact': dict(momentum=0.5, density='exact'),
}
