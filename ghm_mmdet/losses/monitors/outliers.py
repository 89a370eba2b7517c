"""A warning if nearly all examples of GHM-R are outliers, without waiting for the device."""

from __future__ import annotations

import logging
import math

import torch
from mmengine.logging import print_log
from torch import Tensor

from ghm_mmdet.losses.run_state import training_iteration


class OutlierWatch:
    """Warns once if nearly every box coordinate of an iteration is an outlier.

    This happens with boxes decoded to pixels, which GHM-R cannot harmonize, and with a ``mu`` far
    below the usual errors. Fewer than 10 regions do not separate outliers, and give no warning. It
    looks at every ``INTERVAL``-th iteration of an mmengine run, from the first interval on, when
    the net is no longer untrained.
    """

    INTERVAL = 50  # mmengine's LoggerHook waits for the device this often anyway
    SHARE = 0.99
    GRADIENT_NORM = 0.9
    MIN_EXAMPLES = 100

    def __init__(self) -> None:
        self._warned = False

    def __call__(self, counts: Tensor, mu: float) -> None:
        """Look at the counts per region of a call that trains, int64, shape (M,).

        Args:
            counts: Regions of equal width over [0, 1].
            mu: For the message.
        """
        if not self._is_due(counts.device):
            return
        first = math.ceil(self.GRADIENT_NORM * len(counts))
        outliers, total = torch.stack((counts[first:].sum(), counts.sum())).tolist()
        if total >= self.MIN_EXAMPLES and outliers >= self.SHARE * total:
            self._warned = True
            print_log(
                f'GHM-R: {outliers / total:.1%} of the box coordinates have a gradient norm above '
                f'{first / len(counts):g}, so that it harmonizes nothing. It is meant for encoded '
                'box deltas: does this head regress decoded boxes, in pixels? Otherwise '
                f'mu={mu} is too small for these deltas',
                'current',
                logging.WARNING,
            )

    def _is_due(self, device: torch.device) -> bool:
        if self._warned:
            return False
        if device.type == 'cuda' and torch.cuda.is_current_stream_capturing():
            return False
        iteration = training_iteration()
        return iteration is not None and iteration > 0 and iteration % self.INTERVAL == 0
