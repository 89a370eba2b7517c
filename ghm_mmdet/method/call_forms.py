"""Converts the targets and weights of MMDetection's heads, in all their forms, to one form."""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import DenseTarget, LabelTarget, Target


def classification_target(
    prediction: Tensor, target: Tensor | tuple[Tensor, Tensor], scores: bool = True
) -> Target:
    """Labels, (labels, score) or values of the prediction's shape, as a target.

    Args:
        prediction: Logits, shape (N, C) for labels, any shape for values.
        target: Integer labels (N,); a pair of integer labels (N,) and scores (N,); or hard or soft
            values of the prediction's shape.
        scores: Whether a score is allowed. It is not with softmax, where 1 - score has no class.

    Raises:
        ValueError: Shapes or dtypes do not fit.
    """
    if isinstance(target, (tuple, list)):
        if not scores:
            raise ValueError('target: (labels, score), must be labels (N,) where use_sigmoid=False')
        if len(target) != 2:
            raise ValueError(f'target: a tuple of length {len(target)}, must be (labels, score)')
        labels, score = target
        labels = _checked_labels(prediction, labels)
        if score.shape != labels.shape:
            raise ValueError(
                f'score of shape {tuple(score.shape)}: must be {tuple(labels.shape)}, as the labels'
            )
        return LabelTarget(labels, score.detach())
    if target.shape == prediction.shape:
        return DenseTarget(_without_graph(target))
    return LabelTarget(_checked_labels(prediction, target))


def box_target(prediction: Tensor, target: Tensor | tuple) -> DenseTarget:
    """Regression targets of the prediction's shape.

    Raises:
        ValueError: The shapes differ.
    """
    if not isinstance(target, Tensor):
        raise ValueError(f'target: a {type(target).__name__}, must be a tensor')
    if target.shape != prediction.shape:
        raise ValueError(
            f"target of shape {tuple(target.shape)}: must be the prediction's, "
            f'{tuple(prediction.shape)}'
        )
    return DenseTarget(_without_graph(target))


def example_weight(prediction: Tensor, weight: Tensor | None) -> Tensor | None:
    """A weight per anchor or per example, with the prediction's dimensions, broadcastable to it.

    The forms are those of mmdet's focal loss and of its ``weight_reduce_loss``. A 1-dim weight of
    as many numbers as there are anchors has one per anchor, also if there are as many classes.

    Args:
        prediction: Shape (..., C).
        weight: Shape (...), one per anchor; or flattened, one per example, as from mmdet's FSAF
            head; or broadcastable to (..., C); or None.

    Raises:
        ValueError: The shape is none of these.
    """
    if weight is None:
        return None
    weight, shape = _without_graph(weight), prediction.shape
    if weight.shape == shape:
        return weight
    if weight.shape == shape[:-1]:
        return weight.unsqueeze(-1)
    if weight.dim() == 1 and len(weight) == shape.numel():
        return weight.reshape(shape)
    dimensions = weight.shape[::-1], shape[::-1]
    if weight.dim() > len(shape) or any(a not in (1, b) for a, b in zip(*dimensions)):
        raise ValueError(
            f'weight of shape {tuple(weight.shape)}: must be {tuple(shape[:-1])}, one per anchor, '
            f'({shape.numel()},), one per example, or broadcast to {tuple(shape)}'
        )
    return weight[(None,) * (len(shape) - weight.dim())]


def either_weight(weight: Tensor | None, label_weight: Tensor | None) -> Tensor | None:
    """The weight of a call, which has two names in mmdet's losses.

    Raises:
        ValueError: Both are given.
    """
    if weight is not None and label_weight is not None:
        raise ValueError('weight and label_weight: must be one of them, they mean the same')
    return weight if label_weight is None else label_weight


def _without_graph(tensor: Tensor) -> Tensor:
    return tensor.detach() if tensor.requires_grad else tensor


def _checked_labels(prediction: Tensor, labels: Tensor) -> Tensor:
    """The labels in int64."""
    if prediction.dim() != 2 or labels.shape != prediction.shape[:1]:
        raise ValueError(
            f'target of shape {tuple(labels.shape)} for a prediction of shape '
            f'{tuple(prediction.shape)}: must be labels (N,) for logits (N, C), or of its shape'
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f'target of dtype {labels.dtype}: labels must be integers')
    return labels if labels.dtype == torch.int64 else labels.long()
