"""The targets that a criterion compares a prediction with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Union

from torch import Tensor


class LabelTarget(NamedTuple):
    """Classification targets that are zero everywhere but at one class per anchor.

    Attributes:
        labels: int64, shape (N,). Column in [0, C); with any other value the row is all zeros. For
            sigmoid cross entropy such a row is background. Softmax has a column for background, and
            such a row has a loss of 0 and g = 1/2.
        score: Target probability at the label, shape (N,), in [0, 1]; None stands for 1.
    """

    labels: Tensor
    score: Tensor | None = None

    def subtract_from(self, values: Tensor, factor: Tensor | None = None) -> Tensor:
        """``values - factor * p*`` with p* never materialised.

        Args:
            values: Shape (N, C).
            factor: Shape (N, C), factor of the target; None stands for 1.
        """
        if values.size(1) == 0:
            return values
        is_object = (self.labels >= 0) & (self.labels < values.size(1))
        column = self.labels.where(is_object, 0).unsqueeze(1)
        target = is_object if self.score is None else self.score.where(is_object, 0)
        target = target.to(values.dtype).unsqueeze(1)
        if factor is not None:
            target = factor.gather(1, column) * target
        return values.scatter(1, column, values.gather(1, column) - target)

    def map(self, change: Callable[[Tensor], Tensor]) -> LabelTarget:
        """The target with each of its tensors changed."""
        return LabelTarget(change(self.labels), None if self.score is None else change(self.score))


class DenseTarget(NamedTuple):
    """Targets with a value for every example, hard or soft, of the prediction's shape."""

    values: Tensor

    def subtract_from(self, values: Tensor, factor: Tensor | None = None) -> Tensor:
        """``values - factor * target``, elementwise; no factor stands for 1."""
        target = self.values.to(values.dtype)
        return values - (target if factor is None else factor * target)

    def map(self, change: Callable[[Tensor], Tensor]) -> DenseTarget:
        """The target with its tensor changed."""
        return DenseTarget(change(self.values))


Target = Union[LabelTarget, DenseTarget]
