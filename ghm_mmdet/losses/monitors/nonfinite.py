"""Notes on the device which levels of a loss had NaN or infinity as input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ghm_mmdet.ops.compiling import is_compiling


class NonfiniteFlags(nn.Module):
    """Levels with NaN or infinite input since the flags were last taken.

    Attributes:
        counts: Number of non-finite examples, int64, shape (LEVELS,); not part of the state dict,
            and never read here, so that the host does not wait for the device.
    """

    LEVELS = 16  # further levels share the last place

    def __init__(self) -> None:
        super().__init__()
        zeros = torch.zeros(self.LEVELS, dtype=torch.int64)
        self.counts: Tensor
        self.register_buffer('counts', zeros, persistent=False)

    def note(self, first: int, nonfinite: Tensor) -> None:
        """Note how many examples of some levels were not finite.

        Args:
            first: Number of the first of these levels.
            nonfinite: int64, shape (L,), one for each.
        """
        # on a CPU nothing has to be waited for, and reading is cheaper than adding
        if nonfinite.device.type == 'cpu' and not is_compiling() and not any(nonfinite.tolist()):
            return
        start = min(first, self.LEVELS - 1)
        room = self.LEVELS - start
        if nonfinite.numel() > room:
            self.counts[-1] += nonfinite[room:].sum()
            nonfinite = nonfinite[:room]
        self.counts.narrow(0, start, nonfinite.numel()).add_(nonfinite)

    def take(self) -> Tensor:
        """Whether each level had non-finite input, bool, shape (LEVELS,); resets the counts."""
        taken = self.counts > 0
        self.counts.zero_()
        return taken
