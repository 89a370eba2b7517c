"""Finds the class behind the ``type`` of a config: a class, a name, or a name with a scope."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.registry import Registry


def config_class(kind: object, registry: Registry) -> object | None:
    """The class or function behind a config's ``type``.

    Args:
        kind: A class, as pure Python configs have it, or a name with or without a scope, such as
            ``'LoadAnnotations'`` and ``'mmdet.LoadAnnotations'``.
        registry: One of MMDetection's, which also look in MMEngine's. Names are looked up here
            after the registry of the default scope, such as 'mmrotate'.

    Returns:
        None if there is no type, or nothing is registered by that name.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as current:
        return current.get(kind) or registry.get(kind)


def is_a(config: object, registry: Registry, *classes: type) -> bool:
    """Whether a config builds an object of one of the classes, or of a class derived from one."""
    if not isinstance(config, Mapping):
        return False
    kind = config_class(config.get('type'), registry)
    return isinstance(kind, type) and issubclass(kind, classes)
