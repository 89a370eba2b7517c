"""Targets out of range: an error at once on the CPU, at the next log interval elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ghm_mmdet.losses.run_state import training_iteration
from ghm_mmdet.method.criteria import Criterion
from ghm_mmdet.ops import Examples
from ghm_mmdet.ops.compiling import is_compiling
from ghm_mmdet.ops.target_range import allowed_targets, bad_targets_error


class LabelCheck(nn.Module):
    """Raises on labels outside [0, C] and on probabilities outside [0, 1] as targets.

    The host does not wait for the device in every call. On an accelerator the bad targets are only
    counted there. The count is read in the first call of every ``INTERVAL``-th iteration of an
    mmengine run, or by :meth:`raise_if_bad` from any other training loop. Until then a bad label
    counts as background, with softmax as no class, which gives a loss of 0 and g = 1/2; and a bad
    probability is trained on. A call inside ``torch.compile`` or while a CUDA graph is captured
    counts too, and never reads.
    """

    INTERVAL = 50  # mmengine's LoggerHook waits for the device this often anyway

    def __init__(self) -> None:
        super().__init__()
        # always the same memory, so that a compiled or replayed graph can add to it
        self.bad: Tensor
        self.register_buffer('bad', torch.zeros((), dtype=torch.int64), persistent=False)
        self._allowed = ''
        self._last_read: int | None = None

    def note(self, count: Tensor, criterion: Criterion, examples: Examples) -> None:
        """Note how many targets are bad.

        Args:
            count: int64, 0-dim.
            criterion: For the message.
            examples: For the message; of the call, or of one of its levels.

        Raises:
            ValueError: See :meth:`raise_if_bad`.
        """
        if count.device.type == 'cpu' and not is_compiling():
            if count:
                raise bad_targets_error(int(count), allowed_targets(criterion, examples))
            return
        self.bad.add_(count)
        self._allowed = allowed_targets(criterion, examples)
        if not is_compiling() and self._is_due(count.device):
            self.raise_if_bad()

    def raise_if_bad(self) -> None:
        """Read the count, which waits for the device.

        Raises:
            ValueError: Targets were out of range since the last read.
        """
        count = int(self.bad)
        if count:
            self.bad.zero_()
            raise bad_targets_error(count, self._allowed)

    def _is_due(self, device: torch.device) -> bool:
        if device.type == 'cuda' and torch.cuda.is_current_stream_capturing():
            return False
        iteration = training_iteration()
        if iteration is None or iteration % self.INTERVAL or iteration == self._last_read:
            return False
        self._last_read = iteration
        return True
