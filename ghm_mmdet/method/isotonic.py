"""Isotonic regression of a short row of numbers, without a host synchronisation."""

from __future__ import annotations

import torch
from torch import Tensor


def non_increasing(values: Tensor, known: Tensor) -> Tensor:
    """The non-increasing row that is nearest to ``values`` in least squares.

    A flat part of it is the mean of the values there. It is computed by
    the min-max formula, max over b >= j and then min over a <= j of the mean of values a to b
    (Barlow et al., *Statistical Inference under Order Restrictions*, 1972), O(M^2) in memory.

    Args:
        values: Shape (M,), at least 0, float.
        known: Bool, shape (M,). Other values do not affect the fit.

    Returns:
        Shape (M,). An unknown value gets the fit of the next known one, or of the last if none
        follows; infinity if none is known.
    """
    length = known.expand(len(known), -1).triu().cumsum(1)
    mean = _sums(values.where(known, 0)) / length.clamp(min=1)
    highest = mean.where(length > 0, -torch.inf).flip(1).cummax(1).values.flip(1)
    return highest.where(highest.isfinite().triu(), torch.inf).amin(0)


def _sums(values: Tensor) -> Tensor:
    """Entry (a, b) is values[a] + ... + values[b], shape (M, M).

    Differences of prefix sums would cancel small values, and CUDA has no deterministic prefix sum
    of floats. So each pass adds to every sum the sum of as many values before it. A value is
    rounded log2(M) times at most, a relative error of log2(M) 2^-24 in float32.
    """
    sums, width = values.expand(len(values), -1).triu(), 1
    while width < len(values):
        sums = torch.cat([sums[:, :width], sums[:, width:] + sums[:, :-width]], dim=1)
        width *= 2
    return sums
