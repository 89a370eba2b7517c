"""Gradient norm, sign and class of each example in a head's call of any loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmdet.models.losses import GHMR, BalancedL1Loss, L1Loss, MSELoss, SmoothL1Loss
from torch import Tensor, nn

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMRLoss
from ghm_mmdet.method.call_forms import box_target, classification_target, example_weight
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    DenseTarget,
    LabelTarget,
    ProbabilityCrossEntropy,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    Target,
)

CLASSIFICATION = ('loss_cls', 'initial_loss_cls', 'loss_obj', 'loss_conf')
"""Names that MMDetection's heads give to losses whose examples are objects or background."""

BOX = 'loss_bbox'
DELTA_LOSSES = (
    L1Loss,
    SmoothL1Loss,
    BalancedL1Loss,
    MSELoss,
    GHMR,
    GHMRLoss,
    AuthenticSmoothL1Loss,
)
"""Losses of encoded box deltas; the others compare decoded boxes, where gr says nothing."""


class Call(NamedTuple):
    """The arguments of a head's call of a loss."""

    prediction: Tensor
    target: Tensor | tuple[Tensor, Tensor]
    weight: Tensor | None


class NormedExamples(NamedTuple):
    """The examples of one call as gradient norms; all tensors have shape (n,).

    Attributes:
        gradient_norm: g of cross entropy, or gr of authentic smooth L1, in [0, 1].
        valid: Whether the example counts: its weight is above 0 and its input finite.
        positive: Whether it is one of an object; all coordinates of boxes are.
        group: int64 in [0, groups): the class, or the coordinate of the box.
        groups: Number of groups.
    """

    gradient_norm: Tensor
    valid: Tensor
    positive: Tensor
    group: Tensor
    groups: int


def parse_call(arguments: tuple, keywords: dict) -> Call | None:
    """The call's prediction, target and weight; None for a call that only scores.

    Heads that score candidates by their loss ask for it element by element.
    """
    if keywords.get('reduction_override') == 'none':
        return None
    names = ('prediction', 'target', 'weight')
    values = dict(zip(names, arguments, strict=False))
    values.setdefault('target', keywords.get('target', keywords.get('label')))
    values.setdefault('weight', keywords.get('weight', keywords.get('label_weight')))
    return Call(**values)


def is_classification(name: str) -> bool:
    """Whether a module of this name is a classification loss."""
    return name.rpartition('.')[2] in CLASSIFICATION


def is_box_regression(name: str, loss: nn.Module, head: nn.Module) -> bool:
    """Whether a module of this name compares encoded box deltas."""
    encoded = isinstance(loss, DELTA_LOSSES) and not getattr(head, 'reg_decoded_bbox', False)
    return name.rpartition('.')[2] == BOX and encoded


@torch.no_grad()
def classification_examples(loss: nn.Module, call: Call) -> NormedExamples:
    """The examples of a classification loss: (anchor, class) pairs, or anchors under softmax.

    Args:
        loss: Tells by ``use_sigmoid`` and ``activated`` what the prediction is.
        call: Any form that heads have.
    """
    criterion = _criterion(loss)
    sigmoid = not isinstance(criterion, SoftmaxCrossEntropy)
    target = classification_target(call.prediction, call.target, scores=sigmoid)
    shape = criterion.examples(call.prediction).shape
    if sigmoid:
        groups = shape[-1] if call.prediction.dim() > 1 else 1
        group = torch.arange(groups, device=call.prediction.device)
        positive = _is_positive(target, call.prediction)
    else:
        groups = call.prediction.size(-1)
        labels = target.labels if isinstance(target, LabelTarget) else target.values.argmax(-1)
        group = labels.unsqueeze(-1)
        positive = group < groups - 1  # the last channel is background
    return _examples(criterion, call, target, shape, positive, group, groups)


def mu_of(loss: nn.Module, default: float) -> float:
    """The mu of a harmonized box loss; the default for one that has none."""
    return float(getattr(loss, 'mu', getattr(getattr(loss, 'criterion', None), 'mu', default)))


@torch.no_grad()
def box_examples(call: Call, mu: float) -> NormedExamples:
    """The coordinates of a box loss's boxes.

    Args:
        call: Deltas (n, 4), and their targets.
        mu: Of authentic smooth L1.
    """
    criterion = AuthenticSmoothL1(mu)
    shape = call.prediction.shape
    group = torch.arange(shape[-1], device=call.prediction.device)
    positive = torch.ones_like(call.prediction, dtype=torch.bool)
    target = box_target(call.prediction, call.target)
    return _examples(criterion, call, target, shape, positive, group, shape[-1])


def _criterion(loss: nn.Module) -> Criterion:
    if not getattr(loss, 'use_sigmoid', False):
        return SoftmaxCrossEntropy()
    return ProbabilityCrossEntropy() if getattr(loss, 'activated', False) else SigmoidCrossEntropy()


def _is_positive(target: Target, prediction: Tensor) -> Tensor:
    if isinstance(target, DenseTarget):
        return target.values > 0
    classes = torch.arange(prediction.size(-1), device=prediction.device)
    return target.labels.unsqueeze(-1) == classes


def _examples(
    criterion: Criterion,
    call: Call,
    target: Target,
    shape: torch.Size,
    positive: Tensor,
    group: Tensor,
    groups: int,
) -> NormedExamples:
    evaluation = criterion.evaluate(call.prediction.detach(), target)
    valid = evaluation.finite
    weight = example_weight(criterion.examples(call.prediction), call.weight)
    if weight is not None:
        valid = valid & (weight > 0)
    return NormedExamples(
        evaluation.gradient_norm.flatten(),
        valid.expand(shape).flatten(),
        positive.expand(shape).flatten(),
        group.expand(shape).flatten(),
        groups,
    )
