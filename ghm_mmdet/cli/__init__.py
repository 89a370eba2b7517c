"""Training and testing from the command line, and the checks of configs and checkpoints before."""

from ghm_mmdet.mm_patches import ignore_pkg_resources, import_mmdet_quietly

# before the modules here import those parts of mmdet themselves
import_mmdet_quietly()
ignore_pkg_resources()
