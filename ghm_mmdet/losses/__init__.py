"""The losses that MMDetection sees, registered in its MODELS registry."""

from ghm_mmdet.losses.asl1_loss import AuthenticSmoothL1Loss
from ghm_mmdet.losses.ghmc_loss import GHMCLoss
from ghm_mmdet.losses.ghmr_loss import GHMRLoss
from ghm_mmdet.losses.ohem_loss import OHEMLoss

__all__ = ['AuthenticSmoothL1Loss', 'GHMCLoss', 'GHMRLoss', 'OHEMLoss']
