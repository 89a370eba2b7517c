"""Checks before a moving average changes: no second update, and no average of another run.

A compiled graph must check when it runs, not when it is traced, so the check is an operator there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import disable_saved_tensors_hooks

from ghm_mmdet.losses.run_state import training_iteration
from ghm_mmdet.ops.compiling import custom_op, is_compiling


def check_and_restart(state: list[Tensor], was_restored: bool) -> None:
    """Refuse to change a moving average twice, and set the average of another run to zero.

    Args:
        state: The buffers of the moving average. Restored buffers are another run's (``load_from``)
            if no iteration has been finished, and this run's (``resume``) otherwise.
        was_restored: Whether they came from a checkpoint and have not been used since.

    Raises:
        RuntimeError: Activation checkpointing computes the loss again.
    """
    if is_compiling():
        _operator(state, was_restored)
    else:
        _check_and_restart(state, was_restored)


def _check_and_restart(state: list[Tensor], was_restored: bool) -> None:
    if _is_recomputed():
        raise RuntimeError(
            'a loss with a moving average (momentum > 0, or a median mu) inside an activation '
            'checkpoint, which computes it again and would update the average twice: compute the '
            'loss outside of the checkpoint'
        )
    if was_restored and training_iteration() == 0:
        for buffer in state:
            buffer.zero_()


_operator = custom_op(
    'ghm_mmdet::check_and_restart',
    _check_and_restart,
    mutates_args=('state',),
    schema='(Tensor(a!)[] state, bool was_restored) -> ()',
)


def _is_recomputed() -> bool:
    """Whether a non-reentrant checkpoint calls the loss again, in the backward pass.

    Such a checkpoint has hooks on the tensors that the second call saves. A reentrant checkpoint
    has none: its first call is without gradients and does not train.
    """
    if torch._C._current_graph_task_id() == -1:  # not in a backward pass
        return False
    try:
        with disable_saved_tensors_hooks('refused where there are any'):
            return False
    except RuntimeError:
        return True
