"""The losses that are compared, called as a dense head calls them, with their gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import torch
import torch.nn.functional as F
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch import Tensor, nn

AVG_FACTOR = 100.0
Made = TypeVar('Made')


@dataclass(frozen=True)
class Batch:
    """The arguments of one call of a loss.

    Attributes:
        label: For the table.
        prediction: Shape (N, C), any float dtype.
        target: Labels (N,), or values of the prediction's shape.
        weight: Of the target's shape.
        floor_bytes: Bytes that any implementation has to move; None if the time does not depend on
            them.
    """

    label: str
    prediction: Tensor
    target: Tensor
    weight: Tensor
    floor_bytes: float | None = None


@dataclass(frozen=True)
class Contestant:
    """A loss with its name in the table.

    Attributes:
        name: For the table, without M.
        build: Makes the loss.
        bins: M; None if the loss has no regions.
        dtype: The prediction is converted to it beforehand; None converts nothing.
    """

    name: str
    build: Callable[[], nn.Module]
    bins: int | None = None
    dtype: torch.dtype | None = None

    def __str__(self) -> str:
        return self.name if self.bins is None else f'{self.name}, M = {self.bins}'

    def in_float32(self) -> Contestant:
        """The same on a float32 copy of the prediction; the copying is not measured."""
        return replace(self, name=f'{self.name} (float32)', dtype=torch.float32)

    def call(self, batch: Batch) -> Callable[[], None]:
        """A forward and backward pass on the batch, whose gradient is dropped afterwards."""
        leaf = batch.prediction.detach().to(self.dtype).requires_grad_()
        loss = self.build().to(leaf.device)

        def run() -> None:
            loss(leaf, batch.target, batch.weight, avg_factor=AVG_FACTOR).backward()
            leaf.grad = None

        return run


def first_usable(alternatives: Sequence[Contestant], sample: Batch) -> Contestant | None:
    """The first of the alternatives that runs on a small batch, None if none does.

    A replacement has a name of its own in every row.
    """
    for each in alternatives:

        def tried(each: Contestant = each) -> Contestant:
            each.call(sample)()
            return each

        if usable := attempt(f'{each} on {each.dtype or sample.prediction.dtype}', tried):
            return usable
    return None


def attempt(name: str, make: Callable[[], Made]) -> Made | None:
    """The result of a call, or None, with a line of output, if it raises an error."""
    try:
        return make()
    # a dtype, an operator that was not compiled and a compiler raise different errors
    except Exception as error:
        reason = ' '.join(str(error).split())
        print(f'{name} does not run here, {type(error).__name__}: {reason:.200}')
        return None


def plain_focal(logits: Tensor, labels: Tensor, weight: Tensor, avg_factor: float) -> Tensor:
    """Focal loss of label targets as a few whole-tensor operations, gamma 2, alpha 0.25."""
    target = one_hot(labels, logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    p = logits.sigmoid()
    missing = p + target - 2 * p * target
    balance = 0.25 * target + 0.75 * (1 - target)
    return (balance * missing.square() * entropy * weight.unsqueeze(1)).sum() / avg_factor


class PlainFocal(nn.Module):
    """See :func:`plain_focal`."""

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, avg_factor: float) -> Tensor:
        return plain_focal(logits, labels, weight, avg_factor)


class CompiledFocal(nn.Module):
    """The same by ``torch.compile``, which makes one kernel in each direction."""

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, avg_factor: float) -> Tensor:
        return _compiled_focal()(logits, labels, weight, avg_factor)


@lru_cache(maxsize=None)
def _compiled_focal() -> Callable[[Tensor, Tensor, Tensor, float], Tensor]:
    # only when it is needed: with torch 2.1 compiling changes the rest of the process
    return torch.compile(plain_focal, dynamic=True)


class MMDetPythonFocal(nn.Module):
    """mmdet's FocalLoss as on the CPU, for a GPU on which mmcv's operator is missing."""

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor, avg_factor: float) -> Tensor:
        return py_sigmoid_focal_loss(logits, one_hot(labels, logits), weight, avg_factor=avg_factor)


class InFloat32(nn.Module):
    """A loss that gets a float32 copy of the prediction and computes in float32."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Tensor, *args, **kwargs) -> Tensor:
        with torch.autocast(prediction.device.type, enabled=False):
            return self.loss(prediction.float(), *args, **kwargs)


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels in [0, C], C being background, as values of the logits' shape and dtype."""
    classes = logits.size(1)
    return F.one_hot(labels, classes + 1)[:, :classes].to(logits.dtype)
