"""Lets configs elsewhere inherit from those of this package, as ``_base_ = 'ghm_mmdet::...'``.

MMEngine reads a package's configs from the folder ``.mim`` beside its modules, and refuses packages
that its table does not name. It does so before it runs a config's ``custom_imports``, so a script
that parses such a config imports ``ghm_mmdet`` first; MMDetection's own scripts do not.
"""

from __future__ import annotations

from mmengine.config.utils import MODULE2PACKAGE

# The value stands for what MMEngine takes the folder of. By the name of the distribution, MMEngine
# 0.10.7 looks beside the installed metadata, which for an editable install is not where the package
# is; a module it always finds where it was imported from.
MODULE2PACKAGE['ghm_mmdet'] = __name__
