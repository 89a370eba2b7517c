"""How region sums and what follows from them are computed: one back end per file."""

from ghm_mmdet.ops.harmonize import Reduction, region_weights
from ghm_mmdet.ops.harmonize_ops import harmonized_loss
from ghm_mmdet.ops.region_ops import example_losses, region_sums
from ghm_mmdet.ops.sums import RegionSums

__all__ = [
    'Reduction',
    'RegionSums',
    'example_losses',
    'harmonized_loss',
    'region_sums',
    'region_weights',
]
