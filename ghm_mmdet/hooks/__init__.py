"""The hooks of a training, registered in MMEngine's HOOKS."""

from ghm_mmdet.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from ghm_mmdet.hooks.broken_picture_hook import BrokenPictureHook
from ghm_mmdet.hooks.exact_resume_hook import ExactResumeHook
from ghm_mmdet.hooks.harmonized_loss_hook import HarmonizedLossHook

__all__ = [
    'AtomicCheckpointHook',
    'BrokenPictureHook',
    'ExactResumeHook',
    'HarmonizedLossHook',
]
