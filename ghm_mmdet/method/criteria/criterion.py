"""The definition of an example: its loss, its gradient norm and its gradient.

A criterion has the mathematics of a single example, and does not depend on densities, regions or
MMDetection. It computes in float32, or in float64 if the prediction is float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.criteria.targets import Target


class Evaluation(NamedTuple):
    """Loss, gradient norm and validity of examples, in the shape of :meth:`Criterion.examples`."""

    loss: Tensor
    gradient_norm: Tensor
    finite: Tensor


def working_dtype(prediction: Tensor) -> torch.dtype:
    """The dtype to compute in: float64 for float64, else float32."""
    return torch.promote_types(prediction.dtype, torch.float32)


class Criterion(ABC):
    """An element-wise loss with a gradient norm in [0, 1].

    Args:
        key: Names the criterion and its parameters.

    Attributes:
        probabilities: Whether targets are probabilities: labels, or values in [0, 1].
        key: The name of the class and the argument. Compiled graphs have the key in place of the
            object, so equal keys have to mean equal mathematics.
    """

    probabilities: ClassVar[bool] = False
    _by_key: ClassVar[dict[str, Criterion]] = {}

    def __init__(self, key: str) -> None:
        # the class name is part of the key: a subclass may pass on the key of its parent
        self.key = f'{type(self).__module__}.{type(self).__qualname__}: {key}'
        self._by_key[self.key] = self

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        # the process that unpickles it may not know this key yet
        self._by_key[self.key] = self

    @classmethod
    def by_key(cls, key: str) -> Criterion:
        """The criterion last made with this key."""
        return cls._by_key[key]

    def examples(self, prediction: Tensor) -> Tensor:
        """A view of the prediction with one element per example; it broadcasts to the prediction.

        Every element is an example, unless a subclass has one example per row.
        """
        return prediction

    def background(self, prediction: Tensor) -> int:
        """The largest label, which stands for background: one past the prediction's classes."""
        return prediction.size(-1)

    @abstractmethod
    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        """Loss and gradient norm of every example, and whether its input is finite."""

    @abstractmethod
    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        """Derivative of each example's loss with respect to its prediction."""
