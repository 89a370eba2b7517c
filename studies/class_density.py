"""GHM-C with a density for each class, tried where classes differ much in number.

docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.method.criteria import LabelTarget
from ghm_mmdet.ops import Examples


@MODELS.register_module()
class ClassDensityGHMC(GHMCLoss):
    """The mean over the classes of a GHM-C loss of each one's column of logits.

    So each class has a density and a moving average of its own, and the same total weight.

    Args:
        num_classes: C.
        **settings: Of each class's :class:`GHMCLoss`.

    Shape:
        - pred: Logits (N, C).
        - target: Labels (N,) in [0, C] with C for background.
        - output: 0-dim.
    """

    def __init__(self, num_classes: int, **settings: object) -> None:
        super().__init__(**settings)
        self.of_class = nn.ModuleList(GHMCLoss(**settings) for _ in range(num_classes))

    def _reduce(self, levels: Sequence[Examples], reduction: str) -> Tensor:
        losses = [
            loss._reduce([column(level, label) for level in levels], reduction)
            for label, loss in enumerate(self.of_class)
        ]
        return torch.stack(losses).mean()


def column(examples: Examples, label: int) -> Examples:
    """The examples of one class, of which 0 is the only label.

    Args:
        examples: With labels.
        label: Of the class.
    """
    prediction, target, weight, factor = examples
    target = LabelTarget((target.labels != label).long())
    if weight is not None and weight.size(-1) > 1:
        weight = weight[:, label : label + 1]
    return Examples(prediction[:, label : label + 1], target, weight, factor)
