"""Some of the examples of a call, row by row."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ghm_mmdet.criteria import Target


class Rows(NamedTuple):
    """Examples as a matrix, detached.

    Attributes:
        prediction: Shape (n, C).
        target: Its fields have n rows.
        weight: Shape (n, C), or (n, 1) where it is one number per anchor, or None.
    """

    prediction: Tensor
    target: Target
    weight: Tensor | None

    def take(self, part: slice | Tensor) -> Rows:
        """These rows, by slice or by index."""
        fields = (None if field is None else field[part] for field in self.target)
        weight = None if self.weight is None else self.weight[part]
        return Rows(self.prediction[part], type(self.target)(*fields), weight)
