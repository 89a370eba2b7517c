"""Heads whose losses have one density over the whole feature pyramid."""

from ghm_mmdet.heads.ghm_retina_head import GHMRetinaHead
from ghm_mmdet.heads.whole_pyramid import WholePyramidHead

__all__ = ['GHMRetinaHead', 'WholePyramidHead']
