"""The examples of one call, and their sums per region, from which the loss is computed."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple, overload

import torch
from torch import Tensor

from ghm_mmdet.method.call_forms import box_target, classification_target, example_weight
from ghm_mmdet.method.criteria import (
    Criterion,
    DenseTarget,
    LabelTarget,
    SoftmaxCrossEntropy,
    Target,
)


class Examples(NamedTuple):
    """The examples of one call of a loss: of one level, where a head calls it once per level.

    Attributes:
        prediction: Logits or box coordinates, any float dtype.
        target: The targets; no gradient flows to them.
        weight: Broadcastable to the examples, or None for all ones. Examples with a weight of 0 or
            less are in no region; the size of a positive weight does not scale the loss (as in
            mmdet).
        factor: Of the examples' losses, float or 0-dim; a constant in the backward pass.
    """

    prediction: Tensor
    target: Target
    weight: Tensor | None = None
    factor: float | Tensor = 1.0

    @classmethod
    def of_call(
        cls,
        criterion: Criterion,
        prediction: Tensor,
        target: Tensor | tuple[Tensor, Tensor],
        weight: Tensor | None,
    ) -> Examples:
        """The examples of a head's call, with target and weight converted to one form.

        Args:
            criterion: Of the examples; with ``probabilities`` it has a classification target.
            prediction: Logits or box coordinates.
            target: See :func:`ghm_mmdet.method.call_forms.classification_target`, or
                :func:`ghm_mmdet.method.call_forms.box_target`.
            weight: See :func:`ghm_mmdet.method.call_forms.example_weight`.

        Raises:
            ValueError: Shapes or dtypes do not fit.
        """
        if criterion.probabilities:
            scores = not isinstance(criterion, SoftmaxCrossEntropy)
            parsed: Target = classification_target(prediction, target, scores)
        else:
            parsed = box_target(prediction, target)
        return cls(prediction, parsed, example_weight(criterion.examples(prediction), weight))

    @classmethod
    def of_tensors(
        cls,
        prediction: Tensor,
        labels: Tensor | None,
        score: Tensor | None,
        values: Tensor | None,
        weight: Tensor | None,
    ) -> Examples:
        """The examples of five tensors as an operator's schema has them, see :attr:`tensors`."""
        if values is not None:
            return cls(prediction, DenseTarget(values), weight)
        assert labels is not None, 'a target has labels or values'
        return cls(prediction, LabelTarget(labels, score), weight)

    @property
    def tensors(self) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """Prediction, labels, score, values and weight."""
        if isinstance(self.target, LabelTarget):
            return self.prediction, *self.target, None, self.weight
        return self.prediction, None, None, self.target.values, self.weight

    def at_labels(self, classes: int) -> tuple[Examples, Tensor, Tensor]:
        """The (anchor, class) pairs at the labels, shape (N, 1), with values of their targets.

        Args:
            classes: C. Any other label is background, with a value of 0 in column 0.

        Returns:
            The examples; the values of their targets; and their columns, int64; each (N, 1).
        """
        prediction, target, weight, factor = self
        assert isinstance(target, LabelTarget)
        is_object = (target.labels >= 0) & (target.labels < classes)
        column = target.labels.where(is_object, 0).unsqueeze(1)
        value = is_object if target.score is None else target.score.where(is_object, 0)
        value = value.unsqueeze(1)
        weight = None if weight is None else weight.expand_as(prediction).gather(1, column)
        pairs = Examples(prediction.gather(1, column), DenseTarget(value), weight, factor)
        return pairs, value, column

    def rows(self, part: slice | Tensor) -> Examples:
        """Some rows of a matrix of examples, by slice or by index."""
        target = self.target.map(lambda field: field[part])
        weight = None if self.weight is None else self.weight[part]
        return Examples(self.prediction[part], target, weight, self.factor)


class RegionSums(NamedTuple):
    """The sums of one pass over the predictions, which add up over levels, chunks and ranks.

    Attributes:
        counts: R_j, valid examples per region, int64, shape (M,).
        losses: Sum of the examples' losses per region, float, shape (M,).
        weight_sum: Sum of the weights of all valid examples, float, 0-dim.
        nonfinite: Valid examples with NaN or infinite input, in no region, int64, 0-dim.
        bad_targets: Targets that are out of range and not ignored, see
            ``ghm_mmdet.ops.target_range.bad_targets``; int64, 0-dim.
    """

    counts: Tensor
    losses: Tensor
    weight_sum: Tensor
    nonfinite: Tensor
    bad_targets: Tensor

    def changed(self, **fields: Tensor) -> RegionSums:
        """The sums with other fields, as by ``_replace``, which torch 2.8 cannot trace."""
        return RegionSums(
            fields.get('counts', self.counts),
            fields.get('losses', self.losses),
            fields.get('weight_sum', self.weight_sum),
            fields.get('nonfinite', self.nonfinite),
            fields.get('bad_targets', self.bad_targets),
        )

    @classmethod
    def total(cls, parts: Sequence[RegionSums]) -> RegionSums:
        """The sums over the examples of all parts together."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.stack(fields).sum(0) for fields in zip(*parts)))


@overload
def scaled(values: Tensor, factor: float | Tensor) -> Tensor: ...
@overload
def scaled(values: float | Tensor, factor: float | Tensor) -> float | Tensor: ...
def scaled(values: float | Tensor, factor: float | Tensor) -> float | Tensor:
    """The product. If one of the two is the number 1, it is the other one, without a launch."""
    if not isinstance(factor, Tensor) and factor == 1:
        return values
    if not isinstance(values, Tensor) and values == 1:
        return factor
    return values * factor


def total_of_levels(
    levels: Sequence[Examples], parts: Sequence[RegionSums]
) -> tuple[RegionSums, Tensor]:
    """The sums over all levels, with their factors, from the sums of each level.

    Returns:
        The sums; and how many examples of each level are not finite, int64, shape (L,).
    """
    pairs = zip(levels, parts)
    factored = [part.changed(losses=scaled(part.losses, level.factor)) for level, part in pairs]
    return RegionSums.total(factored), torch.stack([part.nonfinite for part in parts])


def level_sums_by(
    module: ModuleType, criterion: Criterion, levels: Sequence[Examples], edges: Tensor
) -> tuple[RegionSums, Tensor]:
    """Compute :func:`ghm_mmdet.ops.level_sums` by one back end."""
    compute = getattr(module, 'level_sums', None)
    at_once = compute and compute(criterion, levels, edges)
    if at_once is not None:
        return at_once
    parts = [module.region_sums(criterion, level, edges) for level in levels]
    return total_of_levels(levels, parts)
