"""The registries in which MMEngine looks up the types of configs from ``ghm_mmdet::...``.

This package registers its classes in MMDetection's registries, so that a config names them without
a scope. But MMEngine looks up the types of an inherited config in registries of the package
that the config comes from, and imports this module to find them. These registries are empty, and
pass every look-up on to MMDetection's.
"""

from __future__ import annotations

import mmdet.registry
from mmengine.registry import Registry

# A registry imports its own locations only, not its parent's.
LOCATIONS = [
    'mmdet.datasets',
    'mmdet.engine',
    'mmdet.evaluation',
    'mmdet.models',
    'mmdet.visualization',
]

REGISTRIES = {
    name: Registry(parent.name, scope='ghm_mmdet', parent=parent, locations=LOCATIONS)
    for name, parent in vars(mmdet.registry).items()
    if isinstance(parent, Registry) and parent.scope == 'mmdet'
}
