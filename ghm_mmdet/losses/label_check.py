"""Labels outside [0, C]: an error at once on the CPU, at the next log interval elsewhere."""

from __future__ import annotations

from torch import Tensor

from ghm_mmdet.losses.run_state import training_iteration


class LabelCheck:
    """Raises on bad labels without making the host wait for the device in every call.

    On an accelerator the bad labels are only counted there. The count is read in the first call of
    every ``INTERVAL``-th iteration of an mmengine run, or by :meth:`raise_if_bad` from any other
    training loop. Until then a bad label counts as background.
    """

    INTERVAL = 50  # mmengine's LoggerHook waits for the device this often anyway

    def __init__(self) -> None:
        self._pending: Tensor | None = None
        self._allowed = ''
        self._last_read: int | None = None

    def __call__(self, count: Tensor, num_classes: int) -> None:
        """Note how many labels are bad, int64, 0-dim, for logits with ``num_classes`` channels.

        Raises:
            ValueError: See :meth:`raise_if_bad`.
        """
        self._allowed = f'[0, {num_classes}], where {num_classes} is background'
        self._pending = count if self._pending is None else self._pending + count
        if self._is_due():
            self.raise_if_bad()

    def raise_if_bad(self) -> None:
        """Read the count, which waits for the device.

        Raises:
            ValueError: Labels outside [0, C] came in since the last look.
        """
        count = 0 if self._pending is None else int(self._pending)
        self._pending = None
        if count:
            raise ValueError(
                f'target: {count} labels outside the range, must be in {self._allowed}'
            )

    def _is_due(self) -> bool:
        if self._pending.device.type == 'cpu':
            return True
        iteration = training_iteration()
        if iteration is None or iteration % self.INTERVAL or iteration == self._last_read:
            return False
        self._last_read = iteration
        return True
