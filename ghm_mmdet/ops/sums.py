"""The additive summary of a set of examples from which a harmonized loss is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class RegionSums(NamedTuple):
    """What a pass over the predictions leaves. Levels, chunks and ranks add up.

    Attributes:
        counts: R_j, valid examples per region, int64, shape (M,).
        losses: Sum of the element losses per region, float, shape (M,); differentiable.
        weight_sum: Sum of the weights of all valid examples, float, 0-dim.
        nonfinite: Valid examples with NaN or infinite input, in no region, int64, 0-dim.
        bad_labels: Anchors that are not ignored and have a label outside [0, C], C being background
            or, where that is a class of its own, the last class; int64, 0-dim.
    """

    counts: Tensor
    losses: Tensor
    weight_sum: Tensor
    nonfinite: Tensor
    bad_labels: Tensor

    @classmethod
    def total(cls, parts: Sequence[RegionSums]) -> RegionSums:
        """The summary of the examples of all parts together."""
        return cls(*(torch.stack(fields).sum(0) for fields in zip(*parts, strict=True)))
