"""Counts over the micro-batches of an optimizer step, and the position of a call in it."""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.ops import RegionSums
from ghm_mmdet.ops.compiling import is_compiling


class OptimizerStep:
    """Counts of the micro-batches of one optimizer step, summed call by call.

    A hook says where an iteration begins and whether the optimizer steps at its end. Without a
    hook, and inside a compiled graph, every call is an optimizer step of its own, as in mmdet.

    Levels are numbered by their calls. If a head skips a level without positives, the levels after
    it get smaller numbers, and with accumulated gradients the counts of different levels are added.
    """

    def __init__(self) -> None:
        self._call = 0
        self._is_counted = False
        self._is_last = True
        self._counted: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def begin_iteration(self, is_last: bool) -> None:
        """Begin an iteration; ``is_last`` says whether the optimizer steps at its end."""
        if self._is_last:
            # a level that the head skipped in the last micro-batch has left counts here
            self._counted.clear()
        self._call = 0
        self._is_counted = True
        self._is_last = is_last

    @property
    def begins(self) -> bool:
        """Whether no call of this optimizer step has trained yet."""
        if is_compiling() or not self._is_counted:
            return True
        return self._call == 0 and not self._counted

    @property
    def is_one_call(self) -> bool:
        """Whether the next call has an optimizer step of its own."""
        return self.is_last and (is_compiling() or not self._counted)

    def next_call(self) -> int:
        """Number of this call in its iteration, from 0: the level, where a head calls per level."""
        # a compiled graph would be compiled anew for every number
        if is_compiling():
            return 0
        self._call += 1
        return self._call - 1

    def accumulate(self, call: int, sums: RegionSums) -> tuple[RegionSums, Tensor]:
        """Add a call's counts to those of the same call earlier in the optimizer step.

        Args:
            call: Its number.
            sums: Of the call. Later calls do not add them if their input was not finite.

        Returns:
            The sums with the counts of all these calls, and a 0-dim number that is not 0 if any
            of the calls had input that was not finite.
        """
        if self.is_one_call:
            return sums, sums.nonfinite
        poisoned = sums.nonfinite > 0
        mine = (sums.counts, sums.weight_sum.detach())
        *before, was_poisoned = self._counted.pop(
            call, (*map(torch.zeros_like, mine), torch.zeros_like(poisoned))
        )
        any_poisoned = was_poisoned | poisoned
        if not self.is_last:
            counts, weight_sum = (
                torch.add(old, now.where(~poisoned, 0)) for old, now in zip(before, mine)
            )
            self._counted[call] = counts, weight_sum, any_poisoned
        counts, weight_sum = map(torch.add, before, mine)
        return sums.changed(counts=counts, weight_sum=weight_sum), any_poisoned

    @property
    def is_last(self) -> bool:
        """Whether the optimizer steps after this iteration."""
        return self._is_last or is_compiling()
