"""How often a loss has met NaN or infinity, counted where the tensors are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NonfiniteCount(nn.Module):
    """Iterations in a row in which each level had NaN or infinite input.

    Attributes:
        streaks: int64, shape (LEVELS,); a level whose last call was finite has 0. Not part of the
            state dict, and never read here, so that the host does not wait for the device.
    """

    LEVELS = 16  # calls beyond are counted with the last

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            'streaks', torch.zeros(self.LEVELS, dtype=torch.int64), persistent=False
        )

    def forward(self, first: int, nonfinite: Tensor) -> None:
        """Note how many examples of some levels were not finite.

        Args:
            first: Number of the first of these levels.
            nonfinite: int64, shape (L,), one for each.
        """
        start = min(first, self.LEVELS - 1)
        levels = self.streaks[start : start + len(nonfinite)]
        levels.add_(1).mul_(nonfinite[: len(levels)] > 0)
