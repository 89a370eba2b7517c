"""Where MMEngine looks up the types of configs that are inherited as ``ghm_mmdet::...``.

What this package adds is registered in MMDetection's registries, so that a config names it without
a scope. MMEngine however looks up the types of an inherited config in registries of the package
that it comes from, and imports this module to find them: these have nothing of their own, and pass
everything on to MMDetection's.
"""

from __future__ import annotations

import mmdet.registry
from mmengine.registry import Registry

# A registry imports its own locations alone, not its parent's.
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
