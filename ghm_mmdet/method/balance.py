"""How regions are made equal, in weight or in gradient, and how far: an extension of the paper.

The paper gives every region (bin of the gradient norm g) the same total weight. So a region's total
gradient grows with its g, from near 0 to 2/M, and the many easy examples are hardly pushed any
further. On few images the background then keeps scores that a longer training would push down.

The paper takes weight from a crowd at g near 1, as outliers. If most positives are
there, because the model has not learned them yet, this keeps the model from learning them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ghm_mmdet.method.arguments import check_choice, check_interval
from ghm_mmdet.method.density import ExactDensity, GradientDensity
from ghm_mmdet.method.isotonic import non_increasing

TOTAL_GRADIENT = 0.5
"""With ``equal='gradient'``: the value for M filled regions of equal weight, (1/M) sum_j g_j."""


class Balance(NamedTuple):
    """beta_j^tempering, or with equal gradient (beta_j / g_j)^tempering, times a factor.

    With outliers kept, beta_j or beta_j / g_j is first changed so that it never falls as g grows.

    Attributes:
        equal: 'weight' gives the regions the same total weight (paper), 'gradient' the same total
            gradient norm.
        tempering: Exponent in [0, 1]: 1 balances in full (paper), 0 not at all, which is cross
            entropy or authentic smooth L1; with 'gradient' scaled so that the total is one half.
        outliers: 'damp' takes weight from a crowd at large g like from any other (paper); 'keep'
            has weights that never fall as g grows, fitted to every region that has a density, also
            by its moving average alone.
    """

    equal: str = 'weight'
    tempering: float = 1.0
    outliers: str = 'damp'

    def weight(self, beta: Tensor, counts: Tensor, gradient_norm: Tensor, total: Tensor) -> Tensor:
        """Weight per region, float32, shape (M,).

        The paper's own form is returned unchanged. Others are scaled, at any tempering. With equal
        weight the weights sum to N over the examples, as the paper's do by their definition.
        With equal gradient the weighted gradient norms sum to ``TOTAL_GRADIENT`` N. This does not
        depend on how many regions are filled; at the start only the first and the last are.

        Args:
            beta: The paper's weight per region, shape (M,), 0 where it is unknown.
            counts: R_j of this call, int64, shape (M,).
            gradient_norm: g of each region, above 0, shape (M,).
            total: The N of beta, by which the loss is divided; at least 1, 0-dim.
        """
        if self == Balance():
            return beta
        if self.equal == 'weight':
            weight = self._shaped(beta)
            return weight / _divisor((weight * counts).sum() / total)
        weight = self._shaped(beta / gradient_norm)
        sum_of_gradients = (weight * gradient_norm * counts).sum()
        return TOTAL_GRADIENT * weight / _divisor(sum_of_gradients / total)

    def _shaped(self, weight: Tensor) -> Tensor:
        known = weight > 0
        if self.outliers == 'keep':
            # 1 / weight changes as little as possible (least squares)
            weight = 1 / non_increasing(1 / weight.where(known, 1), known)
        return weight.pow(self.tempering).where(known, 0)


def _divisor(mean: Tensor) -> Tensor:
    return mean.where(mean > 0, 1)


PRESETS = {
    'weight': Balance(),
    'gradient': Balance('gradient'),
    'small-data': Balance('gradient', 0.75, 'keep'),
}
"""The balances with a name; 'weight' is the paper's, 'small-data' for a few hundred images."""


def build_balance(
    balance: str | Mapping[str, object] | Balance, density: GradientDensity
) -> Balance:
    """The balance that an argument of a loss names.

    Args:
        balance: One of ``PRESETS``; or a mapping with any of ``equal``, ``tempering`` and
            ``outliers``, whose other parts are those of its ``preset``; or a :class:`Balance`.
        density: Of the same loss.

    Raises:
        ValueError: A part is unknown or out of range, or does not go with the density.
    """
    if isinstance(balance, str):
        check_choice('balance', balance, tuple(PRESETS))
        balance = PRESETS[balance]
    if isinstance(balance, Mapping):
        parts: dict[str, Any] = dict(balance)
        preset = parts.pop('preset', 'weight')
        check_choice('balance.preset', preset, tuple(PRESETS))
        for name in parts:
            check_choice('balance: argument', name, ('preset', *Balance._fields))
        balance = PRESETS[preset]._replace(**parts)
    if not isinstance(balance, Balance):
        raise ValueError(f'balance={balance!r}: must be a dict or one of {", ".join(PRESETS)}')
    check_choice('balance.equal', balance.equal, ('weight', 'gradient'))
    check_interval('balance.tempering', balance.tempering, '[0, 1]')
    check_choice('balance.outliers', balance.outliers, ('damp', 'keep'))
    if balance.outliers == 'keep' and isinstance(density, ExactDensity):
        raise ValueError("balance.outliers='keep': must be 'damp' with density='exact'")
    return balance
