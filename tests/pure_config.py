"""A text config as a pure Python one: types are classes, and a base is read by ``read_base``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmdet.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TASK_UTILS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.config import Config
from mmengine.registry import FUNCTIONS, LOG_PROCESSORS, WEIGHT_INITIALIZERS

REGISTRIES = (
    *(MODELS, DATASETS, TRANSFORMS, HOOKS, METRICS, DATA_SAMPLERS, OPTIM_WRAPPERS, OPTIMIZERS),
    *(PARAM_SCHEDULERS, LOOPS, TASK_UTILS, VISUALIZERS, VISBACKENDS, LOG_PROCESSORS, FUNCTIONS),
    WEIGHT_INITIALIZERS,
)


def write_pure(cfg: Config, folder: Path) -> Path:
    """Write ``cfg`` into a folder as ``base.py`` and ``pure.py``, which reads it; the latter."""
    imports: set[str] = set()
    lines = [
        f'{key} = {_source(value, imports)}'
        for key, value in cfg.to_dict().items()
        if key not in ('custom_imports', 'default_scope')
    ]
    (folder / 'base.py').write_text('\n'.join([*sorted(imports), *lines]))
    path = folder / 'pure.py'
    path.write_text(
        'from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n'
    )
    return path


def _source(value: object, imports: set[str]) -> str:
    if isinstance(value, Mapping):
        items = [
            f'{key!r}: {_type(entry, imports) if key == "type" else _source(entry, imports)}'
            for key, entry in value.items()
        ]
        return f'{{{", ".join(items)}}}'
    if isinstance(value, (list, tuple)):
        items = ', '.join(_source(entry, imports) for entry in value)
        return f'[{items}]' if isinstance(value, list) else f'({items},)'
    return repr(value)


def _type(name: str, imports: set[str]) -> str:
    """The class's name, which is imported; a name that no registry has stays as it is."""
    for registry in REGISTRIES:
        kind = registry.get(name)
        if kind is not None:
            imports.add(f'from {kind.__module__} import {kind.__name__}')
            return kind.__name__
    return repr(name)
