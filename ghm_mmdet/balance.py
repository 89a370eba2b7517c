"""What the regions of gradient norm are made equal in, and how far. Ours, not the paper's.

The paper gives every region the same total weight, so that a region's total gradient grows with
its g, from near 0 to 2/M, and the many easy examples are hardly pushed any further. On few images
that leaves the background at scores that a longer training would have pushed down.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

TOTAL_GRADIENT = 0.5
"""Of regions of equal gradient: what M filled regions of equal weight come to, (1/M) sum_j g_j."""


class Balance(NamedTuple):
    """beta_j^tempering, or with equal gradient (beta_j / g_j)^tempering, to scale.

    Attributes:
        equal: 'weight' gives the regions the same total weight (paper), 'gradient' the same total
            gradient norm.
        tempering: Exponent in [0, 1]: 1 balances in full (paper), 0 not at all, which is plain
            cross entropy or smooth L1.
    """

    equal: str = 'weight'
    tempering: float = 1.0

    def weight(self, beta: Tensor, counts: Tensor, gradient_norm: Tensor) -> Tensor:
        """Weight per region, float32, shape (M,).

        The paper's own form is handed through. Regions of equal weight are scaled to a mean weight
        of 1 over the examples, which the paper's have by their definition; those of equal gradient
        to a mean gradient norm of ``TOTAL_GRADIENT``, so that it does not depend on how many
        regions are filled: at the start it is the first and the last. Tempering takes the mean
        weight to the same power as the weights.

        Args:
            beta: The paper's weight per region, shape (M,), 0 where it is unknown.
            counts: R_j of this call, int64, shape (M,).
            gradient_norm: g of each region, above 0, shape (M,).
        """
        if self == Balance():
            return beta
        weight = _over_mean(beta, counts)
        if self.equal == 'gradient':
            weight = TOTAL_GRADIENT * weight / gradient_norm
        if self.tempering == 1:
            return weight
        tempered = weight.pow(self.tempering).where(beta > 0, 0)
        return _mean(weight, counts).pow(self.tempering) * _over_mean(tempered, counts)


def _mean(weight: Tensor, counts: Tensor) -> Tensor:
    """Over the examples, of a weight per region; 0 where there are none."""
    return (weight * counts).sum() / counts.sum().clamp(min=1)


def _over_mean(weight: Tensor, counts: Tensor) -> Tensor:
    mean = _mean(weight, counts)
    return weight / mean.where(mean > 0, 1)
