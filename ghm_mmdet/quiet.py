"""Keeps out of sight what mmdet and mmengine say of optional packages and of their own past."""

import logging
import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

# mmdet prints the first whatever the log level, and warns with the second.
ANNOUNCEMENTS = ('Could not import OneDL', 'faster_coco_eval is not installed')

# mmengine's own hooks still call what mmengine has deprecated.
DEPRECATIONS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')

# MMEngine of OpenMMLab imports it whenever a config inherits from a package's.
PKG_RESOURCES = 'pkg_resources is deprecated'


def import_mmdet_quietly() -> None:
    """Import the parts of mmdet that announce missing optional packages, without those lines.

    Everything else that the import prints or warns of is shown. To be called before a runner is
    built, which imports the same parts.
    """
    printed = StringIO()
    with redirect_stdout(printed), warnings.catch_warnings():
        for announcement in ANNOUNCEMENTS:
            warnings.filterwarnings('ignore', message=announcement)
        import_module('mmdet.datasets')
        import_module('mmdet.evaluation')
    for line in printed.getvalue().splitlines(keepends=True):
        if not line.startswith(ANNOUNCEMENTS):
            sys.stdout.write(line)


def drop_own_deprecations(logger: logging.Logger) -> None:
    """Let a logger pass over mmengine's warnings about calls that mmengine itself makes."""
    logger.addFilter(lambda record: not record.getMessage().startswith(DEPRECATIONS))


def ignore_pkg_resources() -> None:
    """Let the process pass over the warning of a module that mmengine imports."""
    warnings.filterwarnings('ignore', message=PKG_RESOURCES)
