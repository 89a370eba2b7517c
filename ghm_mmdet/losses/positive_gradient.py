"""How much the positives still have to learn, by which GHM-C's loss can fall; not in the paper.

The total gradient of a harmonized loss hardly falls while a detector learns: an example that is
learned only moves to another region. The gradients of focal loss and of the box losses fall, so
that GHM-C takes from the boxes where the classes are learned soon.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ghm_mmdet.losses.all_reduce import sum_over_ranks
from ghm_mmdet.method.criteria import Criterion, DenseTarget
from ghm_mmdet.method.dtype_guard import FixedDtype
from ghm_mmdet.ops import Examples


class PositiveGradient(FixedDtype):
    """Mean gradient norm g of the positives of recent calls; with labels g is 1 - p.

    Args:
        gamma: Exponent of the factor of the loss.
        momentum: a of the moving average over calls, in [0, 1).

    Attributes:
        sums: Moving averages of the sum of g and of the number of positives, float32, shape (2,);
            zeros before the first positive.
    """

    def __init__(self, gamma: float, momentum: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.momentum = momentum
        self.sums: Tensor
        self.register_buffer('sums', torch.zeros(2, dtype=torch.float32))

    def mean(self) -> Tensor:
        """The mean of g, float32, 0-dim, in [0, 1]; 1 before the first positive."""
        total, number = self.sums.unbind()
        return torch.where(number > 0, total / number, 1.0)

    def weigh(self, loss: Tensor) -> Tensor:
        """The loss times mean^gamma."""
        return loss * self.mean() ** self.gamma

    @torch.no_grad()
    def update(
        self,
        criterion: Criterion,
        levels: Sequence[Examples],
        loss: Tensor,
        all_ranks: bool,
    ) -> None:
        """Update the average by a call with a positive and a finite loss; others change nothing.

        Args:
            criterion: Of the examples.
            levels: At least one.
            loss: Of the call, 0-dim.
            all_ranks: Whether to add up the sums of all ranks, each of which has to call this.
        """
        parts = torch.stack([positive_sums(criterion, level) for level in levels]).sum(0)
        of_call = torch.cat([parts, (~loss.isfinite()).to(parts).reshape(1)])
        if all_ranks:
            of_call = sum_over_ranks(of_call)
        sums, nonfinite = of_call.split([2, 1])
        blended = self.momentum * self.sums + (1 - self.momentum) * sums
        self.sums.copy_(torch.where((sums[1] > 0) & (nonfinite == 0), blended, self.sums))


def positive_sums(criterion: Criterion, examples: Examples) -> Tensor:
    """The sum of g of the positives and their number, float32, shape (2,).

    A positive has a label, with a score above 0 if there are scores; or a value above 0. It counts
    if its weight is above 0 and its input is finite.

    Args:
        criterion: Of the examples.
        examples: Of one level.
    """
    classes = criterion.background(examples.prediction)
    if classes == 0:
        return examples.prediction.new_zeros(2, dtype=torch.float32)
    if not isinstance(examples.target, DenseTarget):
        at_label, value, _ = examples.at_labels(classes)
        positive = value > 0
        if examples.prediction.size(-1) == classes:
            examples = at_label
    else:
        positive = examples.target.values[..., :classes] > 0
        if examples.prediction.size(-1) > classes:
            positive = positive.any(-1, keepdim=True)
    _, norm, finite = criterion.evaluate(examples.prediction, examples.target)
    counts = positive & finite
    if examples.weight is not None:
        counts = counts & (examples.weight > 0)
    return torch.stack([norm.where(counts, 0).float().sum(), counts.sum().float()])
