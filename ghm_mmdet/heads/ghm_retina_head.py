"""RetinaNet's head with one gradient density over all levels."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS

from ghm_mmdet.heads.whole_pyramid import WholePyramidDensity


@MODELS.register_module()
class GHMRetinaHead(WholePyramidDensity, RetinaHead):
    """RetinaNet's head with one GHM-C and GHM-R density over all examples of the iteration.

    mmdet calls the loss once per level, so its GHM has a density per level and a moving average
    that the levels update in turn. The paper's density is over the whole mini-batch. Arguments
    and weights are those of mmdet's ``RetinaHead``; losses other than GHM-C and GHM-R stay per
    level.
    """
