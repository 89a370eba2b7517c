"""The additive summary of a set of examples from which a harmonized loss is made."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RegionSums(NamedTuple):
    """What a pass over the predictions leaves. Levels, chunks and ranks add up.

    Attributes:
        counts: R_j, valid examples per region, int64, shape (M,).
        losses: Sum of the element losses per region, float, shape (M,); differentiable.
        weight_sum: Sum of the weights of all valid examples, float, 0-dim.
        nonfinite: Valid examples with NaN or infinite input, in no region, int64, 0-dim.
    """

    counts: Tensor
    losses: Tensor
    weight_sum: Tensor
    nonfinite: Tensor

    def merge(self, other: RegionSums) -> RegionSums:
        """The summary of both sets of examples together."""
        return RegionSums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))
