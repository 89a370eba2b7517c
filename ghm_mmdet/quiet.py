"""Imports mmdet without what it says about optional packages that nothing here uses."""

import sys
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO

# mmdet prints the first whatever the log level, and warns with the second.
ANNOUNCEMENTS = ('Could not import OneDL', 'faster_coco_eval is not installed')


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
