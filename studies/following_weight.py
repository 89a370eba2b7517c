"""GHM-C with a loss weight that follows how well the positives are learned.

With equal gradient GHM-C's total gradient norm stays as it is however much a detector has learned,
where that of focal loss and of the boxes shrinks. docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor

from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.ops import Examples


@MODELS.register_module()
class FollowingGHMC(GHMCLoss):
    """The loss times a power of the mean gradient norm of the positives, a moving average.

    For a positive g = 1 - p, so that the factor is about 1 where a training starts at low scores,
    and goes to 0. The average is over the positives of all calls, with the loss's momentum.

    Args:
        power: Of the mean gradient norm.
        **settings: Of :class:`GHMCLoss`.

    Shape:
        - pred: Logits (N, C).
        - target: Labels (N,) in [0, C] with C for background.
        - output: 0-dim.
    """

    def __init__(self, power: float = 1.0, **settings: object) -> None:
        super().__init__(**settings)
        self.power = power
        self.register_buffer('positives', torch.zeros(2))

    def _reduce(self, levels: Sequence[Examples], reduction: str) -> Tensor:
        loss = super()._reduce(levels, reduction)
        momentum = self.density.momentum
        of_call = sum(gradient_of_positives(level) for level in levels)
        self.positives.mul_(momentum).add_(of_call, alpha=1 - momentum)
        total, count = self.positives
        return loss * ((total / count) ** self.power if count > 0 else 1.0)


@torch.no_grad()
def gradient_of_positives(examples: Examples) -> Tensor:
    """The sum of the gradient norms of the positives and their number, shape (2,).

    Args:
        examples: With labels; with a weight of 0 they do not count.
    """
    logits, labels = examples.prediction, examples.target.labels
    positive = labels < logits.size(1)
    if examples.weight is not None:
        positive &= (examples.weight > 0).any(-1)
    rows = positive.nonzero().squeeze(1)
    norms = 1 - logits[rows, labels[rows]].float().sigmoid()
    return torch.stack([norms.sum(), norms.new_tensor(len(rows))])
