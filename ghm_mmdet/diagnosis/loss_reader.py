"""Counts the examples in a head's calls of any loss by their gradient norm."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmdet.models.losses import GHMR, BalancedL1Loss, L1Loss, MSELoss, SmoothL1Loss
from torch import Tensor, nn

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.losses.ghmc_loss import CRITERIA
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    LabelTarget,
    SoftmaxCrossEntropy,
)
from ghm_mmdet.method.density import region_edges, region_index
from ghm_mmdet.ops import Examples

CLASSIFICATION = ('loss_cls', 'initial_loss_cls', 'loss_obj', 'loss_conf')
"""Names that MMDetection's heads give to losses whose examples are objects or background."""
BOX = 'loss_bbox'
DELTA_LOSSES = (
    L1Loss,
    SmoothL1Loss,
    BalancedL1Loss,
    MSELoss,
    GHMR,
    AuthenticSmoothL1Loss,
    GHMRLoss,
)
"""Losses of encoded box deltas; the others compare decoded boxes, where gr says nothing."""
CHUNK = 2**18  # examples: the temporaries of a pass stay near a CPU's cache


class RegionCounts(NamedTuple):
    """Examples (int64) and sums of their gradient norm (float64), shape (2, groups, M) each.

    Negatives are before positives; all coordinates of boxes are positives. The group is the class
    or the coordinate of the box.
    """

    counts: Tensor
    gradients: Tensor


class LossReader:
    """Counts the examples of a loss's calls.

    An example is an (anchor, class) pair, with softmax an anchor, for boxes a coordinate. It counts
    if its weight is above 0 and its input finite.

    Args:
        loss: The loss. Its ``use_sigmoid`` and ``activated`` say what the prediction is.
        edges: Of the regions, shape (M + 1,).
        mu: Of authentic smooth L1 for box deltas, until the loss adapts its own; None for a
            classification loss.
    """

    def __init__(self, loss: nn.Module, edges: Tensor, mu: float | None) -> None:
        self.loss = loss
        self.edges = edges
        self.mu = mu

    @torch.no_grad()
    def read(self, arguments: tuple, keywords: dict) -> RegionCounts | None:
        """Count a finished call of the loss; None for a call that does not train.

        Such calls come from heads that score candidates by the losses of single elements.
        """
        if keywords.get('reduction_override') == 'none':
            return None
        adaptive = getattr(self.loss, 'mu_of_call', None)
        if adaptive is not None:
            self.mu = float(adaptive)
        criterion = _criterion(self.loss) if self.mu is None else AuthenticSmoothL1(self.mu)
        examples = _examples(criterion, arguments, keywords)
        parts = [_count(criterion, part, self.edges) for part in _chunks(examples)]
        return RegionCounts(*map(sum, zip(*parts)))


def loss_readers(model: nn.Module, bins: int, mu: float = 0.02) -> dict[str, LossReader]:
    """Readers of a model's classification and box losses, by the name of the module.

    Losses that compare decoded boxes have no meaningful gradient norm and are left out.

    Args:
        model: An mmdet detector.
        bins: M, regions of [0, 1].
        mu: Of authentic smooth L1, for box losses without a mu.
    """
    edges, readers = region_edges(bins), {}
    for name, module in model.named_modules():
        head, _, last = name.rpartition('.')
        decodes = getattr(model.get_submodule(head), 'reg_decoded_bbox', False)
        if last in CLASSIFICATION:
            readers[name] = LossReader(module, edges, None)
        elif last == BOX and isinstance(module, DELTA_LOSSES) and not decodes:
            readers[name] = LossReader(module, edges, mu_of(module, mu))
    return readers


def harmonized_readers(model: nn.Module) -> dict[str, LossReader]:
    """Readers of a model's harmonized losses in their own regions, by the name of the module."""
    return {
        name: LossReader(module, module.density.edges, getattr(module, 'mu', None))
        for name, module in model.named_modules()
        if isinstance(module, GHMLoss)
    }


def mu_of(loss: nn.Module, default: float) -> float:
    """The mu of a harmonized box loss; the default for one that has none."""
    return float(getattr(loss, 'mu', getattr(getattr(loss, 'criterion', None), 'mu', default)))


def _criterion(loss: nn.Module) -> Criterion:
    uses_sigmoid = bool(getattr(loss, 'use_sigmoid', False))
    # other losses may have activated=True with softmax, where it has no meaning
    activated = uses_sigmoid and bool(getattr(loss, 'activated', False))
    return CRITERIA[uses_sigmoid, activated]()


def _examples(criterion: Criterion, arguments: tuple, keywords: dict) -> Examples:
    """The examples of a head's call, in any form."""
    values = {**keywords, **dict(zip(('prediction', 'target', 'weight'), arguments))}
    target = values.get('target', values.get('label'))
    weight = values.get('weight', values.get('label_weight'))
    return Examples.of_call(criterion, values['prediction'].detach(), target, weight)


def _chunks(examples: Examples) -> list[Examples]:
    """The examples in parts of whole rows; a prediction that is no matrix is one part."""
    if examples.prediction.dim() != 2:
        return [examples]
    rows, columns = examples.prediction.shape
    if examples.weight is not None:
        examples = examples._replace(weight=examples.weight.expand(rows, -1))
    step = max(1, CHUNK // max(1, columns))
    return [examples.rows(slice(start, start + step)) for start in range(0, max(1, rows), step)]


def _count(criterion: Criterion, part: Examples, edges: Tensor) -> RegionCounts:
    evaluation = criterion.evaluate(part.prediction, part.target)
    valid = evaluation.finite
    if part.weight is not None:
        valid = valid & (part.weight > 0)
    norm = evaluation.gradient_norm.where(valid, 0)
    positive, group, groups = _kinds(criterion, part)
    edges = edges.to(norm.device)
    counts = edges.new_zeros(2, groups, len(edges) - 1, dtype=torch.int64)
    gradients = counts.double()
    index = (positive.long() * groups + group) * counts.size(-1) + region_index(norm, edges)
    index = index.flatten()
    counts.view(-1).index_add_(0, index, valid.flatten().long())
    gradients.view(-1).index_add_(0, index, norm.flatten().double())
    return RegionCounts(counts, gradients)


def _kinds(criterion: Criterion, part: Examples) -> tuple[Tensor, Tensor, int]:
    """Whether an example is positive, its group, and the number of groups; both broadcast."""
    prediction, target, *_ = part
    groups = prediction.size(-1) if prediction.dim() > 1 else 1
    if isinstance(criterion, SoftmaxCrossEntropy):
        labels = target.labels if isinstance(target, LabelTarget) else target.values.argmax(-1)
        group = labels.unsqueeze(-1)
        return group < groups - 1, group, groups  # the last channel is background
    group = torch.arange(groups, device=prediction.device)
    if isinstance(target, LabelTarget):
        positive = target.labels.unsqueeze(-1) == group
    else:
        positive = target.values > 0 if criterion.probabilities else torch.ones_like(group)
    return positive, group, groups
