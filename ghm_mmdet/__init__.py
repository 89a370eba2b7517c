"""GHM-C and GHM-R, gradient harmonized losses for object detection, as an MMDetection plugin.

Importing the package registers the losses, heads and hooks: in a config,
``custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)``. It also lets configs
inherit from ``ghm_mmdet::...``, for which a script has to import it before it reads the config.
"""

from ghm_mmdet import environment
from ghm_mmdet.version import __version__

if not environment.runs_alone():
    environment.require()
    from ghm_mmdet import checkpoint_globals, config_package, heads, hooks, losses  # noqa: F401

__all__ = ['__version__']
