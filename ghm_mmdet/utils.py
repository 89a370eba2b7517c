"""The function that ``mmengine.hub.get_model`` calls by this name in every package."""

from __future__ import annotations

import mmdet.utils
from mmengine.registry import DefaultScope


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register all modules of MMDetection; importing this package registers its own.

    Args:
        init_default_scope: Whether to make MMDetection's the default scope if there is none yet.
    """
    unset = DefaultScope.get_current_instance() is None
    mmdet.utils.register_all_modules(init_default_scope and unset)
