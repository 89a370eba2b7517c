"""The function that ``mmengine.hub.get_model`` calls by this name in every package."""

from __future__ import annotations

import mmdet.utils
from mmengine.registry import DefaultScope


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register everything of MMDetection; what this package adds is registered by its import.

    Args:
        init_default_scope: Whether to look up types without a scope in MMDetection's registries,
            where there is no default scope yet.
    """
    unset = DefaultScope.get_current_instance() is None
    mmdet.utils.register_all_modules(init_default_scope and unset)
