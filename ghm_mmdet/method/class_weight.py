"""Weights of classes, by which the positives of a class count more or less in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def inverse_frequency(counts: Sequence[int], exponent: float) -> Tensor:
    """w_c = k n_c^-p, with k such that the mean weight of an object is 1; float32, shape (C,).

    A weight beyond [1e-3, 1e6] is set to that bound.

    Args:
        counts: n_c, objects of each class in the training set. A class without objects gets the
            largest weight of the others.
        exponent: p; 0 weights all classes equally, 1 gives every class the same total weight.
    """
    number = torch.tensor(counts, dtype=torch.float64)
    if not number.any():
        return torch.ones(len(counts))
    power = number.clamp(min=float(number[number > 0].min())) ** -exponent
    return (power * number.sum() / (power * number).sum()).clamp(1e-3, 1e6).float()
