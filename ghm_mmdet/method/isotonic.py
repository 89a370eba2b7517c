"""Isotonic regression of a short row of numbers, without reading it from its device."""

from __future__ import annotations

import torch
from torch import Tensor


def non_increasing(values: Tensor, known: Tensor) -> Tensor:
    """The non-increasing row that is nearest to ``values`` in least squares.

    Where it has to be flat it is the mean of the values there, so that no value counts twice. By
    the min-max formula, max over b >= j and then min over a <= j of the mean of values a to b
    (Barlow et al., *Statistical Inference under Order Restrictions*, 1972), O(M^2) in memory.

    Args:
        values: Shape (M,), at least 0, float.
        known: Bool, shape (M,). Other values have no say.

    Returns:
        Shape (M,). An unknown one is fitted as the next known one, or the last where none follows;
        infinite where none is known.
    """
    length = known.expand(len(known), -1).triu().cumsum(1)
    mean = _sums(values.where(known, 0)) / length.clamp(min=1)
    highest = mean.where(length > 0, -torch.inf).flip(1).cummax(1).values.flip(1)
    return highest.where(highest.isfinite().triu(), torch.inf).amin(0)


def _sums(values: Tensor) -> Tensor:
    """Entry (a, b) is values[a] + ... + values[b], shape (M, M).

    Differences of prefix sums would cancel small values, so the sums are added up.

    Each pass adds to a sum the one of as many values before it. So every value is rounded log2(M)
    times at most, a relative error of log2(M) 2^-24 in float32, and nothing is a prefix sum of
    floats, for which CUDA has no deterministic algorithm.
    """
    sums, width = values.expand(len(values), -1).triu(), 1
    while width < len(values):
        sums = torch.cat([sums[:, :width], sums[:, width:] + sums[:, :-width]], dim=1)
        width *= 2
    return sums
