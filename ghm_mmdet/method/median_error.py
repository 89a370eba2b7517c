"""The median error of the boxes, from the counts of their gradient norms; not in the paper.

mu of GHM-R is the size of an error that counts as medium. The errors of a detector shrink while it
trains, and their scale depends on how its head encodes boxes, so that no number suits all detectors
or a whole training. The median error does: half of the coordinates then have gr below 0.71.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.dtype_guard import FixedDtype


class MedianError(FixedDtype):
    """Running median of |d|, from counts alone.

    gr = |d| / sqrt(d^2 + mu^2) grows with |d|, so that the median of |d| is
    mu gr / sqrt(1 - gr^2) at the median of gr.

    Args:
        bins: M, the number of regions of gr.
        momentum: a of the moving average over iterations, in [0, 1); the first value counts fully.

    Attributes:
        average: The moving average, float32, 0-dim; 0 before the first call.
    """

    START = 0.1
    """mu before the first update; of the order of the deltas of an untrained detector."""
    MINIMUM = 1e-6
    """mu if more than half of the coordinates are exactly right, so that the median is 0."""
    MIN_REGIONS = 5
    """Fewer regions do not show where in [0, 1] the median of gr is."""

    def __init__(self, bins: int, momentum: float) -> None:
        super().__init__()
        self.bins = bins
        self.momentum = momentum
        self.average: Tensor
        self.register_buffer('average', torch.zeros((), dtype=torch.float32))

    def mu(self) -> Tensor:
        """The width of ASL1 for the next call, float32, 0-dim, a copy."""
        return self.average.where(self.average > 0, self.START)

    def update(self, counts: Tensor, mu: Tensor, keep_old: Tensor) -> None:
        """Update the average by a call's counts, unless ``keep_old`` (0-dim bool) or all are 0.

        Args:
            counts: R_j of gr, int64, shape (M,).
            mu: The width that gr was computed with, 0-dim.
            keep_old: Whether to keep the average unchanged (no sync).
        """
        gradient_norm = self._median_gradient_norm(counts)
        error = mu * gradient_norm / (1 - gradient_norm**2).sqrt()
        blended = self.momentum * self.average + (1 - self.momentum) * error
        new = blended.where(self.average > 0, error).clamp(min=self.MINIMUM)
        self.average.copy_(self.average.where(keep_old | (counts.sum() == 0), new))

    def _median_gradient_norm(self, counts: Tensor) -> Tensor:
        """Median of gr, interpolated linearly in its region; clamped to the outermost centres."""
        below = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(self.average.dtype)
        half = below[-1] / 2
        region = (below[1:-1] < half).sum().unsqueeze(0)
        left, right = below[region], below[region + 1]
        position = (half - left) / (right - left).clamp(min=1)
        low, high = (each.to(position.dtype) / self.bins for each in (region, region + 1))
        norm = torch.lerp(low, high, position)
        margin = 0.5 / self.bins
        return norm.clamp(margin, 1 - margin).squeeze(0)
