"""Where a call of a loss is in its training: which level, and which part of an optimizer step."""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.ops import RegionSums


class OptimizerStep:
    """Counts of the micro-batches of one optimizer step, summed call by call.

    A hook says where an iteration begins and whether the optimizer steps at its end. Without one,
    every call is an optimizer step of its own, as in mmdet.
    """

    def __init__(self) -> None:
        self._call = 0
        self._is_last = True
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}

    def begin_iteration(self, is_last: bool) -> None:
        """The next call is the first of an iteration, at whose end the optimizer may step."""
        self._call = 0
        self._is_last = is_last

    def next_call(self) -> int:
        """Number of this call in its iteration, from 0: the level, where a head calls per level."""
        # a compiled graph would be compiled anew for every number
        if torch.compiler.is_compiling():
            return 0
        self._call += 1
        return self._call - 1

    def so_far(self, call: int, sums: RegionSums, poisoned: Tensor) -> RegionSums:
        """The counts of this call and of the same one earlier in the optimizer step.

        Args:
            call: Its number.
            sums: Its own.
            poisoned: Whether the later ones are to forget it, bool, 0-dim.
        """
        mine = (sums.counts, sums.weight_sum.detach())
        before = self._seen.pop(call, None) or tuple(map(torch.zeros_like, mine))
        if not self._is_last:
            kept = (now.where(~poisoned, 0) for now in mine)
            self._seen[call] = tuple(map(torch.add, before, kept))
        counts, weight_sum = map(torch.add, before, mine)
        return sums._replace(counts=counts, weight_sum=weight_sum)

    @property
    def is_last(self) -> bool:
        """Whether the optimizer steps after this iteration."""
        return self._is_last
