"""Configs as they are compared."""

from __future__ import annotations


def without_scope(content: object) -> object:
    """A config without where MMEngine is to look up its types, which inheriting adds."""
    if isinstance(content, dict):
        return {key: without_scope(each) for key, each in content.items() if key != '_scope_'}
    return [without_scope(each) for each in content] if isinstance(content, list) else content
