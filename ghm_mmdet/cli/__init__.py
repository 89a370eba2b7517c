"""What the tools share: configs from the command line and their checks; training and testing."""

from ghm_mmdet.mm_patches import ignore_pkg_resources, import_mmdet_quietly

# before the modules here import those parts of mmdet themselves
import_mmdet_quietly()
ignore_pkg_resources()
