"""What one example is: its loss, its gradient norm and its gradient.

A criterion knows the mathematics of a single example and nothing of densities, regions or
MMDetection. Computation runs in float32, or in float64 where the prediction is float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


class LabelTarget(NamedTuple):
    """Classification targets that are zero everywhere but at one class per anchor.

    Attributes:
        labels: int64, shape (N,). Class index in [0, C); any other value is background.
        score: Target probability at the label, shape (N,), in [0, 1]; None stands for 1.
    """

    labels: Tensor
    score: Tensor | None = None

    def subtract_from(self, values: Tensor, factor: Tensor) -> Tensor:
        """``values - factor * p*`` with p* never materialised.

        Args:
            values: Shape (N, C).
            factor: Shape (N, C), what the target is multiplied with.
        """
        if values.size(1) == 0:
            return values
        is_object = (self.labels >= 0) & (self.labels < values.size(1))
        column = self.labels.where(is_object, 0).unsqueeze(1)
        target = is_object if self.score is None else self.score.where(is_object, 0)
        target = target.to(values.dtype).unsqueeze(1)
        at_label = values.gather(1, column) - factor.gather(1, column) * target
        return values.scatter(1, column, at_label)


class DenseTarget(NamedTuple):
    """Targets with a value for every example, hard or soft, of the prediction's shape."""

    values: Tensor

    def subtract_from(self, values: Tensor, factor: Tensor) -> Tensor:
        """``values - factor * target``, elementwise."""
        return values - factor * self.values.to(values.dtype)


Target = LabelTarget | DenseTarget


class Evaluation(NamedTuple):
    """What a criterion says of each example; all three have the shape of the examples."""

    loss: Tensor
    gradient_norm: Tensor
    finite: Tensor


def working_dtype(prediction: Tensor) -> torch.dtype:
    """Float64 stays; half precision is computed in float32."""
    return torch.promote_types(prediction.dtype, torch.float32)


class Criterion(ABC):
    """An element-wise loss with a gradient norm in [0, 1].

    Args:
        key: Names the criterion and its parameters. Compiled graphs carry this name in place of the
            object, so equal keys have to mean equal mathematics.
    """

    _by_key: ClassVar[dict[str, Criterion]] = {}

    def __init__(self, key: str) -> None:
        self.key = key
        self._by_key[key] = self

    @classmethod
    def by_key(cls, key: str) -> Criterion:
        """The criterion last made with this key."""
        return cls._by_key[key]

    @abstractmethod
    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        """Loss and gradient norm of every example, and whether its input is finite."""

    @abstractmethod
    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        """Derivative of each example's loss with respect to its prediction."""


class SigmoidCrossEntropy(Criterion):
    """Binary cross entropy on logits: one example is one (anchor, class) pair.

    Paper, section "GHM-C Loss": p = sigmoid(x), d CE / d x = p - p*, so g = |p - p*|.
    """

    def __init__(self) -> None:
        super().__init__('sigmoid_cross_entropy')

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        logits = prediction.to(working_dtype(prediction))
        # max(x, 0) - x p* + log(1 + exp(-|x|)) neither overflows nor cancels
        loss = target.subtract_from(logits.relu(), logits) + torch.log1p(torch.exp(-logits.abs()))
        gradient_norm = self.gradient(prediction, target).abs()
        return Evaluation(loss, gradient_norm, gradient_norm.isfinite() & logits.isfinite())

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        probability = prediction.to(working_dtype(prediction)).sigmoid()
        one = probability.new_ones(()).expand_as(probability)
        return target.subtract_from(probability, one)


class AuthenticSmoothL1(Criterion):
    """ASL1(d) = sqrt(d^2 + mu^2) - mu: one example is one box coordinate.

    Paper, section "GHM-R Loss": d ASL1 / d d = d / sqrt(d^2 + mu^2), whose magnitude gr is below 1,
    so that unlike smooth L1 it still tells hard examples from very hard ones.

    Args:
        mu: Width of the quadratic part, in the units of the regression target; above 0.
    """

    def __init__(self, mu: float) -> None:
        super().__init__(f'authentic_smooth_l1({mu})')
        self.mu = mu

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        difference, root = self._difference_and_root(prediction, target)
        # d^2 / (root + mu) is root - mu without the cancellation at small d
        loss = difference * (difference / (root + self.mu))
        return Evaluation(loss, (difference / root).abs(), loss.isfinite())

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        difference, root = self._difference_and_root(prediction, target)
        return difference / root

    def _difference_and_root(self, prediction: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        values = prediction.to(working_dtype(prediction))
        one = values.new_ones(()).expand_as(values)
        difference = target.subtract_from(values, one)
        return difference, torch.sqrt(difference * difference + self.mu * self.mu)
