"""How region sums and their gradient are computed: one back end per file, one small interface."""

from ghm_mmdet.ops.region_ops import example_losses, region_sums
from ghm_mmdet.ops.sums import RegionSums

__all__ = ['RegionSums', 'example_losses', 'region_sums']
