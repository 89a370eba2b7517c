"""The iteration of the running training, read from MMEngine's message hub."""

from __future__ import annotations

from mmengine.logging import MessageHub


def training_iteration() -> int | None:
    """Iterations that the running mmengine training has finished; None outside of one."""
    hub = MessageHub.get_current_instance()
    if hub.runtime_info.get('loop_stage') != 'train':
        return None
    return hub.runtime_info.get('iter')
