"""EQLv2 for one-stage heads, a rival where classes differ much in number.

docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

import torch
from mmdet.models.losses import EQLV2Loss
from mmdet.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class AnchorEQLV2Loss(EQLV2Loss):
    """EQLv2 for a head without a logit for background, divided by the number of positives.

    MMDetection's class is for two-stage heads: it takes a last logit for background, and the mean
    over the examples.

    Shape:
        - cls_score: Logits (N, C).
        - label: Labels (N,) in [0, C] with C for background.
        - weight: (N,); examples with 0 do not count, all others count once.
        - output: 0-dim.
    """

    def forward(
        self, cls_score: Tensor, label: Tensor, weight: Tensor, avg_factor: float
    ) -> Tensor:
        counted = weight > 0
        label, logits = label[counted], cls_score[counted].float()
        is_background = label == logits.size(1)
        known = torch.where(is_background, 100.0, -100.0)  # background is right: loss 0
        with_background = torch.cat([logits, known.unsqueeze(1)], dim=1)
        return super().forward(with_background, label) * (len(label) / avg_factor)
