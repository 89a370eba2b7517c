"""GHM-C and GHM-R, gradient harmonized losses for object detection, as an MMDetection plugin.

Importing the package registers the losses, heads and hooks: in a config,
``custom_imports = dict(imports=['ghm_mmdet'], allow_failed_imports=False)``. It also lets configs
inherit from ``ghm_mmdet::...``, for which a script has to import it before it reads the config.

Where MMDetection is not installed nothing is registered; :mod:`ghm_mmdet.functional` needs torch
alone.
"""

from ghm_mmdet import environment
from ghm_mmdet.version import __version__

if environment.has_mmdetection():
    environment.require()
    from ghm_mmdet import heads, hooks, losses, mm_patches  # noqa: F401
    from ghm_mmdet.diagnosis import gradient_density_hook  # noqa: F401

__all__ = ['__version__']
