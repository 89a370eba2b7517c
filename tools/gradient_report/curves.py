"""Reformulated gradient norms of each loss for a distribution of gradient norms (paper).

All curves start from counts of examples in equal regions of [0, 1], and an example counts as at the
centre of its region. The finer the regions the better, above all near 0, where most examples are.
Their number should be a multiple of the harmonized loss's number, so that none of them lies across
two of its regions.

Every curve is scaled to the same total gradient: the sum over all examples is that of the
criterion whose gradient norm the axis shows (cross entropy for g, authentic smooth L1 for gr). So
this criterion's curve is the identity, and the others show which examples gain and which lose.
Without scaling they would also differ by a factor, which a loss weight or a learning rate cancels.
"""

from __future__ import annotations

import numpy as np
import torch

from ghm_mmdet.method.arguments import check_interval, check_positive_integer
from ghm_mmdet.method.balance import PRESETS
from ghm_mmdet.method.density import UnitRegionDensity, harmonizing_weight

FOCAL_GAMMA = 2.0
SMOOTH_L1_BETA = 1 / 9
"""Where smooth L1 turns from quadratic to linear, in units of the box deltas."""


def region_centres(bins: int) -> np.ndarray:
    """Centres of equal regions of [0, 1], shape (bins,)."""
    return (np.arange(bins) + 0.5) / bins


def classification_curves(counts: np.ndarray, bins: int = 30) -> dict[str, np.ndarray]:
    """Reformulated gradient norm against g = |p - p*| of each classification loss.

    Cross entropy has g itself. Focal loss with gamma 2 has g^gamma (g - gamma (1 - g) log(1 - g)),
    the same for both classes up to alpha, which is left out. GHM-C has g times the weight, which is
    the paper's beta or that of ``balance='small-data'``, and 0 in an empty region.

    Args:
        counts: Examples per region of g, shape (F,).
        bins: M of GHM-C.

    Returns:
        Gradient norm per region by the name of the loss, float64, shape (F,), scaled to the total
        gradient of cross entropy.

    Raises:
        ValueError: An argument is out of its range.
    """
    counts = _checked(counts)
    g = region_centres(len(counts))
    curves = {
        'cross entropy': g,
        'focal loss': g**FOCAL_GAMMA * (g - FOCAL_GAMMA * (1 - g) * np.log1p(-g)),
        'GHM-C': g * _weight(counts, bins),
        'GHM-C, small-data': g * _weight(counts, bins, 'small-data'),
    }
    return _same_total(counts, curves, g)


def regression_curves(
    counts: np.ndarray, mu: float = 0.02, bins: int = 10
) -> dict[str, np.ndarray]:
    """Reformulated gradient norm against gr = |d / sqrt(d^2 + mu^2)| of each box loss.

    Authentic smooth L1 has gr itself, GHM-R has gr beta, and 0 in an empty region. Smooth L1
    has min(|d| / beta, 1), where |d| = mu gr / sqrt(1 - gr^2).

    Args:
        counts: Examples per region of gr, shape (F,).
        mu: Of authentic smooth L1, in units of the box deltas; above 0.
        bins: M of GHM-R.

    Returns:
        Gradient norm per region by the name of the loss, float64, shape (F,), scaled to the total
        gradient of authentic smooth L1.

    Raises:
        ValueError: An argument is out of its range.
    """
    counts = _checked(counts)
    check_interval('mu', mu, '(0, inf)')
    gr = region_centres(len(counts))
    difference = mu * gr / np.sqrt(1 - gr**2)
    curves = {
        'smooth L1': np.minimum(difference / SMOOTH_L1_BETA, 1),
        'authentic smooth L1': gr,
        'GHM-R': gr * _weight(counts, bins),
    }
    return _same_total(counts, curves, gr)


def contribution_shares(counts: np.ndarray, curves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Share of the total gradient that the examples of each region have under each loss.

    Args:
        counts: Examples per region, shape (F,).
        curves: Reformulated gradient norms per region, shape (F,), by the name of the loss.
    """
    counts = _checked(counts)
    return {name: counts * curve / (counts @ curve) for name, curve in curves.items()}


def _checked(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 1 or not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
        raise ValueError(
            f'counts of shape {counts.shape} with the sum {counts.sum()}: must be one row of '
            'numbers, none below 0 and not all 0'
        )
    return counts.astype(np.float64)


def _weight(counts: np.ndarray, bins: int, balance: str = 'weight') -> np.ndarray:
    """Mean harmonizing weight of the examples in each fine region, shape (F,)."""
    check_positive_integer('bins', bins)
    parts = _overlap(len(counts), bins)
    coarse = torch.from_numpy(counts @ parts)
    density = UnitRegionDensity(bins)
    total = coarse.sum()
    beta = harmonizing_weight(density.density(coarse, density.average(coarse)), total)
    weight = PRESETS[balance].weight(beta, coarse, density.gradient_norm, total)
    return parts @ weight.double().numpy()


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """Part of each fine region of [0, 1] that lies in each coarse one, shape (fine, coarse)."""
    # in units of 1 / (fine coarse), whole numbers: a rounding error would fill an empty region
    inner, outer = np.arange(fine + 1) * coarse, np.arange(coarse + 1) * fine
    upper = np.minimum.outer(inner[1:], outer[1:])
    lower = np.maximum.outer(inner[:-1], outer[:-1])
    return np.clip(upper - lower, 0, None) / coarse


def _same_total(
    counts: np.ndarray, curves: dict[str, np.ndarray], gradient_norm: np.ndarray
) -> dict[str, np.ndarray]:
    total = counts @ gradient_norm
    return {name: curve * (total / (counts @ curve)) for name, curve in curves.items()}
