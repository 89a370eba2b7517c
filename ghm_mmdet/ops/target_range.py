"""Counts targets out of range: labels outside [0, C], probabilities outside [0, 1].

Cross entropy with such a target falls without bound as the logit grows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, LabelTarget
from ghm_mmdet.ops.examples import Examples

ROUNDING = 0.01
"""How far outside [0, 1] a probability may be: an IoU of 1, computed in bfloat16, can be 1.008."""


def bad_targets(criterion: Criterion, examples: Examples) -> Tensor:
    """Number of targets that are out of range and that no weight ignores, int64, 0-dim.

    It counts anchors with a label outside [0, C], where C is background or, if background is a
    class of its own, the last class. If the criterion's targets are probabilities, it also counts
    finite scores and values outside [0, 1]. NaN and infinity count as non-finite input instead.
    """
    prediction, target, weight, _ = examples
    if isinstance(target, LabelTarget):
        labels, score = target
        outside = (labels < 0) | (labels > criterion.background(prediction))
        if weight is not None:
            outside = outside & (weight > 0).any(dim=-1)
        if score is not None:
            outside = outside | _has_bad_score(labels, score, prediction, weight)
        return outside.sum()
    if not criterion.probabilities or _is_in_range(target.values):
        return prediction.new_zeros((), dtype=torch.int64)
    outside = _is_outside(target.values)
    if weight is not None:
        outside = outside & (weight > 0)
    return outside.sum()


def allowed_targets(criterion: Criterion, examples: Examples) -> str:
    """The kind of the bad targets of a call and the allowed range, for a message."""
    if not isinstance(examples.target, LabelTarget):
        return 'values outside the range, must be in [0, 1]'
    background = criterion.background(examples.prediction)
    also = '' if examples.target.score is None else ', with scores in [0, 1]'
    return (
        f'labels{" or scores" if also else ""} outside the range, must be in '
        f'[0, {background}], where {background} is background{also}'
    )


def bad_targets_error(count: int, allowed: str) -> ValueError:
    """The error for ``count`` bad targets; ``allowed`` is from :func:`allowed_targets`."""
    return ValueError(f'target: {count} {allowed}; give examples to ignore a weight of 0')


def _has_bad_score(
    labels: Tensor, score: Tensor, prediction: Tensor, weight: Tensor | None
) -> Tensor:
    """Whether the score of an object's class counts and is out of range, bool, shape (N,)."""
    classes = prediction.size(1)
    is_object = (labels >= 0) & (labels < classes)
    outside = is_object & _is_outside(score)
    if weight is None or not classes:
        return outside
    column = labels.where(is_object, 0).unsqueeze(1)
    return outside & (weight.expand(prediction.shape).gather(1, column) > 0).squeeze(1)


def _is_in_range(values: Tensor) -> bool:
    """Whether the values are known to be in range, by one pass that makes no tensor of their size.

    On devices other than a CPU it is not known, because the host would have to wait for them.
    """
    if values.device.type != 'cpu':
        return False
    if not values.numel() or values.dtype == torch.bool:
        return True
    if values.dtype == torch.float16:
        values = values.float()  # torch below 2.2 cannot compare it on a CPU
    low, high = (each.item() for each in values.aminmax())
    return low >= -ROUNDING and high <= 1 + ROUNDING


def _is_outside(values: Tensor) -> Tensor:
    # written so that NaN is not outside
    return ((values < -ROUNDING) | (values > 1 + ROUNDING)) & values.isfinite()
