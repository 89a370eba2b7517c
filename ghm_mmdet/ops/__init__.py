"""Computes region sums, the loss from these sums and its gradient: one back end per file."""

from ghm_mmdet.ops.backends import register_backend, use_backend
from ghm_mmdet.ops.examples import Examples, RegionSums, scaled
from ghm_mmdet.ops.from_sums import HarmonizedLoss, Reduction, region_weights
from ghm_mmdet.ops.function import (
    choose_backend,
    harmonized_loss,
    level_sums,
    loss_from_sums,
    with_gradient,
)
from ghm_mmdet.ops.operators import example_losses, region_sums

__all__ = [
    'Examples',
    'HarmonizedLoss',
    'Reduction',
    'RegionSums',
    'choose_backend',
    'example_losses',
    'harmonized_loss',
    'level_sums',
    'loss_from_sums',
    'region_sums',
    'region_weights',
    'register_backend',
    'scaled',
    'use_backend',
    'with_gradient',
]
