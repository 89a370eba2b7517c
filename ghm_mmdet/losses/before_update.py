"""What only the run knows about a moving average that is about to change.

A compiled graph must ask it when it runs, not when it is traced, so it is an operator there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op

from ghm_mmdet.losses.run_state import training_iteration


def before_update(state: list[Tensor], was_restored: bool) -> None:
    """Refuse to change a moving average twice, and start one afresh that is another run's.

    Args:
        state: The buffers of the moving average, set to zero to start afresh: `load_from` brings
            them along into a run that has no iteration behind it, `resume` into one that has.
        was_restored: Whether they came from a checkpoint and were not used since.

    Raises:
        RuntimeError: Activation checkpointing computes the loss again.
    """
    if torch.compiler.is_compiling():
        _before_update_op(state, was_restored)
    else:
        _before_update(state, was_restored)


def _before_update(state: list[Tensor], was_restored: bool) -> None:
    if _is_recomputed():
        raise RuntimeError(
            'a loss with a moving average (momentum > 0, or a median mu) inside an activation '
            'checkpoint, which computes it again and would update the average twice: compute the '
            'loss outside of the checkpoint'
        )
    if was_restored and training_iteration() == 0:
        for buffer in state:
            buffer.zero_()


_before_update_op = custom_op('ghm_mmdet::before_update', _before_update, mutates_args=('state',))


def _is_recomputed() -> bool:
    """Whether a checkpoint computes again in the backward pass what has trained already.

    A reentrant checkpoint computes first without gradients, so that the second time is the first
    to train. The other kind watches with hooks what the second time saves.
    """
    in_backward = torch._C._current_graph_task_id() != -1
    return in_backward and torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
