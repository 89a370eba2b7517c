"""The lines that a detector config's comment lists, and those in which it differs from mmdet's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config

from tests.configs_compared import without_scope

WHOLE = ('custom_imports', 'clip_grad', 'sampler')
"""Keys whose content is not listed line by line; so is every loss."""


def listed(path: Path) -> set[str]:
    """The names in the comment's sentence about the lines to change; ``.x`` has the last prefix."""
    comment = ' '.join(path.read_text().split('_base_')[0].replace('\n#', ' ').split())
    sentence = re.search(
        r'lines to change in another config(?: \([^)]*\))?:(.*?)(?:\. | - )', comment
    )
    names = re.findall(r'[\w.\[\]*]*\w', sentence[1])
    full = []
    for name in names:
        if name == 'and':
            continue
        prefix = full[-1].rpartition('.')[0] if name.startswith('.') else ''
        full.append(prefix + name)
    return set(full)


def mmdet_config(path: Path) -> Config:
    """The config of mmdet that this one inherits from, maybe through another of this folder."""
    base = re.search(r"^_base_ = \[?\s*'(.*?)'", path.read_text(), re.MULTILINE)[1]
    return get_config(base) if base.startswith('mmdet::') else mmdet_config(path.parent / base)


def changed(base: object, ours: object, name: str = '') -> Iterator[str]:
    """The listed names under which two configs differ; entries of a list are one name, [*]."""
    key = re.split(r'[.\]]', name)[-1]
    if 'loss' in key or key in WHOLE or type(base) is not type(ours):
        if base != ours:
            yield name
    elif isinstance(ours, dict):
        for each in base.keys() | ours.keys():
            yield from changed(base.get(each), ours.get(each), f'{name}.{each}'.strip('.'))
    elif isinstance(ours, list) and len(base) == len(ours):
        for each in zip(base, ours):
            yield from changed(*each, f'{name}[*]')
    elif base != ours:
        yield name


def differences(path: Path) -> set[str]:
    """What a config changes in mmdet's, as its comment names it; all configs have more hooks."""
    base, ours = (
        without_scope(each.to_dict()) for each in (mmdet_config(path), Config.fromfile(path))
    )
    for config in (base, ours):
        config.pop('default_hooks')
        config.pop('reliable_hooks', None)
    return {re.sub('^model[.]', '', name) for name in changed(base, ours)}


def edited(other: Config, path: Path) -> Config:
    """Another config with the listed lines of this one in it, and nothing else of it."""
    ours = Config.fromfile(path)
    for name in listed(path):
        outside = name.startswith(('custom_imports', 'optim_wrapper'))
        keys = name.split('.') if outside else ['model', *name.split('.')]
        _copy(other, ours, keys)
    return other


def _copy(target: Config, source: Config, keys: list[str]) -> None:
    first, *rest = keys
    if first.endswith('[*]'):
        name = first.split('[*]')[0]
        for each, from_each in zip(target[name], source[name]):
            _copy(each, from_each, rest)
    elif rest:
        _copy(target[first], source[first], rest)
    else:
        target[first] = source[first]
