"""Heads whose losses have one density over the whole feature pyramid."""

from ghm_mmdet.heads.ghm_retina_head import GHMRetinaHead

__all__ = ['GHMRetinaHead']
