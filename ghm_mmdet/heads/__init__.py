"""Heads whose losses have one density over all pyramid levels, and heads of PAA and SSD for GHM."""

from ghm_mmdet.heads.ghm_paa_head import GHMPAAHead
from ghm_mmdet.heads.ghm_retina_head import GHMRetinaHead
from ghm_mmdet.heads.ghm_ssd_head import GHMSSDHead
from ghm_mmdet.heads.whole_pyramid import WholePyramidHead

__all__ = ['GHMPAAHead', 'GHMRetinaHead', 'GHMSSDHead', 'WholePyramidHead']
