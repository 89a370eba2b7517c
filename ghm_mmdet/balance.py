"""What the regions of gradient norm are made equal in, and how far. Ours, not the paper's.

The paper gives every region the same total weight, so that a region's total gradient grows with
its g, from near 0 to 2/M, and the many easy examples are hardly pushed any further. On few images
that leaves the background at scores that a longer training would have pushed down.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Balance(NamedTuple):
    """beta_j proportional to beta^tempering, or to (beta / g_j)^tempering, of mean 1.

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

        The paper's own form is handed through. Any other is scaled to a mean of 1 over the
        examples, which the paper's weights have by their definition.

        Args:
            beta: The paper's weight per region, shape (M,), 0 where it is unknown.
            counts: R_j of this call, int64, shape (M,).
            gradient_norm: g of each region, above 0, shape (M,).
        """
        if self == Balance():
            return beta
        weight = beta / gradient_norm if self.equal == 'gradient' else beta
        weight = weight.pow(self.tempering).where(beta > 0, 0)
        mean = (weight * counts).sum() / counts.sum().clamp(min=1)
        return weight / mean.where(mean > 0, 1)
