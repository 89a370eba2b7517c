"""Gradient density: from counts of examples per region to harmonizing weights beta.

This module has tensors only, and does not depend on logits, levels, heads or MMDetection.

Five multipliers have names of their own in this package: ``weight`` is a head's weight of an
example, of which only the sign counts; ``beta`` is the harmonizing weight of a region; ``scale``
multiplies a region's loss sum and is beta loss_weight / N; ``factor`` is a head's factor of the
loss of one call; ``loss_weight`` is the argument of a loss.
Source: Li, Liu, Wang, *Gradient Harmonized Single-stage Detector*, AAAI 2019 ("the paper").
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ghm_mmdet.method.arguments import check_choice, check_interval, check_positive_integer
from ghm_mmdet.method.dtype_guard import FixedDtype


def region_edges(bins: int, device: torch.device | None = None) -> Tensor:
    """Edges of the unit regions r_j = [(j-1)/M, j/M), float32, shape (M + 1,)."""
    return torch.arange(bins + 1, dtype=torch.float32, device=device) / bins


def region_centres(edges: Tensor) -> Tensor:
    """Middles of the regions, float32, shape (M,)."""
    return (edges[:-1] + edges[1:]) / 2


def region_index(gradient_norm: Tensor, edges: Tensor) -> Tensor:
    """Region of each gradient norm, int64 in [0, M); the last region is closed at 1.

    Args:
        gradient_norm: g, any shape, in [0, 1].
        edges: Shape (M + 1,), see :func:`region_edges`. g is compared with these float32
            numbers, as in mmdet; floor(g M) would differ at a few values of g.
    """
    inner = edges[1:-1].to(gradient_norm.dtype)
    return torch.bucketize(gradient_norm.detach().contiguous(), inner, right=True)


def valid_length(gradient_norm: Tensor, epsilon: float) -> Tensor:
    """l_eps(g) = min(g + eps/2, 1) - max(g - eps/2, 0) (paper, "Gradient Density")."""
    upper = (gradient_norm + epsilon / 2).clamp(max=1)
    lower = (gradient_norm - epsilon / 2).clamp(min=0)
    return upper - lower


class GradientDensity(FixedDtype, ABC):
    """Computes the gradient density per region from counts, with an optional moving average.

    S_j(t) = a S_j(t-1) + (1 - a) R_j(t) (paper, "EMA"), where R_j is the count of region j.

    Args:
        bins: M, the number of regions that are counted.
        momentum: a in [0, 1); 0 keeps no state.
        bias_correction: Divide S_j by 1 - a^t, where t is the number of updates of that region, so
            that the start of S at zero does not inflate the first weights. False is as in mmdet.
        decays: Whether the average of a region without an example decays (paper) or stays (mmdet).
        device: Of the buffers.

    Raises:
        ValueError: An argument is out of range, or there is a bias correction and no momentum.
    """

    edges: Tensor
    moving_average: Tensor
    moving_weight: Tensor

    def __init__(
        self,
        bins: int,
        momentum: float,
        bias_correction: bool,
        decays: bool,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        check_positive_integer('bins', bins)
        check_interval('momentum', momentum, '[0, 1)')
        check_choice('bias_correction', bias_correction, (False, True))
        if bias_correction and not momentum:
            raise ValueError('bias_correction=True: must be False where momentum=0')
        self.bins = bins
        self.momentum = momentum
        self.bias_correction = bias_correction
        self.decays = decays
        self.register_buffer('edges', region_edges(bins, device), persistent=False)
        if momentum > 0:
            zeros = torch.zeros_like(self.edges[1:])
            self.register_buffer('moving_average', zeros)
            if bias_correction:
                self.register_buffer('moving_weight', zeros.clone())

    @property
    def gradient_norm(self) -> Tensor:
        """g of each region, its centre, float32, shape (M,)."""
        return region_centres(self.edges)

    @property
    def has_state(self) -> bool:
        """Whether a moving average is kept."""
        return self.momentum > 0

    @property
    def state(self) -> list[Tensor]:
        """The buffers of the moving average; zeros are its initial state."""
        if not self.has_state:
            return []
        return [self.moving_average, *([self.moving_weight] if self.bias_correction else [])]

    def average(self, counts: Tensor) -> list[Tensor]:
        """The new ``state`` after these counts; the module's own state does not change.

        Args:
            counts: R_j, int64, shape (M,).
        """
        counts = counts.to(self.edges.dtype)
        news = counts, torch.ones_like(counts)
        return [self._blend(old, new, counts) for old, new in zip(self.state, news)]

    def _blend(self, old: Tensor, new: Tensor, counts: Tensor) -> Tensor:
        blended = self.momentum * old + (1 - self.momentum) * new
        return blended if self.decays else blended.where(counts > 0, old)

    def store(self, average: list[Tensor], keep_old: Tensor) -> None:
        """Make ``average`` the module's own, unless the 0-dim bool ``keep_old`` holds (no sync)."""
        for buffer, new in zip(self.state, average):
            buffer.copy_(buffer.where(keep_old, new))

    def density(self, counts: Tensor, average: list[Tensor]) -> Tensor:
        """GD of each region, float32, shape (M,).

        Args:
            counts: R_j of this call, int64, shape (M,).
            average: The result of :meth:`average` for them.
        """
        smoothed = average[0] if average else counts.to(self.edges.dtype)
        if self.has_state and self.bias_correction:
            smoothed = smoothed / average[1].where(average[1] > 0, 1)
        return self._density(smoothed, counts)

    @abstractmethod
    def _density(self, smoothed: Tensor, counts: Tensor) -> Tensor:
        """GD from the smoothed counts; ``counts`` are the raw ones of this call."""


class UnitRegionDensity(GradientDensity):
    """GD^ = R_j M, constant on each region (paper, "Unit Region Approximation").

    Args:
        bins: M.
        form: 'mmdet' shares the weight among the regions that have an example in this call,
            and does not change the moving average of the others. 'paper' shares it
            among all M regions, and the moving average of an empty region decays.
        momentum: See :class:`GradientDensity`.
        bias_correction: See :class:`GradientDensity`.
        device: See :class:`GradientDensity`.

    Raises:
        ValueError: ``form`` is neither, or see :class:`GradientDensity`.
    """

    def __init__(
        self,
        bins: int,
        form: str = 'mmdet',
        momentum: float = 0,
        bias_correction: bool = False,
        device: torch.device | None = None,
    ) -> None:
        check_choice('form', form, ('mmdet', 'paper'))
        super().__init__(bins, momentum, bias_correction, form == 'paper', device)
        self.form = form

    def _density(self, smoothed: Tensor, counts: Tensor) -> Tensor:
        if self.form == 'paper':
            return smoothed * self.bins
        return smoothed * (counts > 0).sum()


class ExactDensity(GradientDensity):
    """GD of a window of width epsilon centred on each example (paper, "Gradient Density").

    Examples are counted in fine cells of width h = eps / (2 k), k = ``CELLS_PER_HALF_WINDOW`` (h is
    a little smaller where 1/h is not whole). The window around a cell's centre has all cells
    inside it and a share of the two cells at its ends. Counts stay additive over chunks, levels and
    ranks.

    Error bound, for an example in cell c: the window count is off by at most the examples in the
    cells that [g - eps/2 - h/2, g - eps/2 + h/2] and [g + eps/2 - h/2, g + eps/2 + h/2] touch
    (where 1/h divides evenly: half the examples of the two cells c - k and c + k), and the valid
    length by at most h/2 of at least eps/2, a relative 1/(2k). Rounding in float32 adds a relative
    1e-5 at most, as nothing is subtracted.

    A moving average is over the fine counts; every cell decays, as in the paper.

    Args:
        epsilon: Width of the window, in (0, 1].
        momentum: See :class:`GradientDensity`.
        bias_correction: See :class:`GradientDensity`.
    """

    CELLS_PER_HALF_WINDOW = 64

    def __init__(self, epsilon: float, momentum: float = 0, bias_correction: bool = False) -> None:
        check_interval('epsilon', epsilon, '(0, 1]')
        # float64 cannot hold 1/30 and the like; the tolerance gives the whole number that is meant
        cells = math.ceil(2 * self.CELLS_PER_HALF_WINDOW / epsilon - 1e-6)
        super().__init__(cells, momentum, bias_correction, decays=True)
        self.epsilon = epsilon

    @property
    def gradient_norm(self) -> Tensor:
        """g of each fine cell, at least half a window: inside a window g is not resolved."""
        return region_centres(self.edges).clamp(min=self.epsilon / 2)

    def _density(self, smoothed: Tensor, counts: Tensor) -> Tensor:
        centre = (torch.arange(self.bins, device=smoothed.device) + 0.5) / self.bins
        return self._window_counts(smoothed) / valid_length(centre, self.epsilon)

    def _window_counts(self, smoothed: Tensor) -> Tensor:
        """Examples in the window around each cell's centre; the outermost cells count in part.

        Each window adds up its cells anew. Differences of prefix sums would need float64,
        which not every device has, and CUDA has no deterministic prefix sum of floats.
        """
        cells = self.epsilon / 2 * self.bins + 0.5
        reach = math.floor(cells)
        padded = nn.functional.pad(smoothed, (reach, reach))
        inner = padded[1:-1].unfold(0, 2 * reach - 1, 1).sum(1)
        outermost = padded[: self.bins] + padded[2 * reach :]
        return inner + (cells - reach) * outermost


NO_DENSITY = 1e-20
"""Share of N below which a density is a long-decayed average, whose beta would overflow."""


def harmonizing_weight(density: Tensor, total: Tensor) -> Tensor:
    """beta = N / GD (paper, "Gradient Density"), 0 where there is no density.

    ``harmonize`` in :mod:`ghm_mmdet.ops.triton_from_sums` computes the same on CUDA.

    Args:
        density: GD per region, shape (M,).
        total: N, 0-dim.
    """
    occupied = density > NO_DENSITY * total
    return (total / density.where(occupied, 1)).where(occupied, 0)
