"""How region sums and what follows from them are computed: one back end per file."""

from ghm_mmdet.ops.harmonize import Harmonized, Reduction, region_weights
from ghm_mmdet.ops.harmonize_ops import harmonized_loss
from ghm_mmdet.ops.levels import level_sums, with_gradient
from ghm_mmdet.ops.region_ops import example_losses, region_sums
from ghm_mmdet.ops.sums import Level, RegionSums, is_one, scaled

__all__ = [
    'Harmonized',
    'Level',
    'Reduction',
    'RegionSums',
    'example_losses',
    'harmonized_loss',
    'is_one',
    'level_sums',
    'region_sums',
    'region_weights',
    'scaled',
    'with_gradient',
]
