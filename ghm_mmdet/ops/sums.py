"""The examples of a level, and the additive summary of them that a harmonized loss is made of."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, Target


class Level(NamedTuple):
    """The examples of one call of a head.

    Attributes:
        prediction: Logits or box coordinates, any float dtype.
        target: The targets; no gradient flows to them.
        weight: Broadcastable to the examples, or None for all ones. Examples with a weight of 0 or
            less are in no region; the size of a positive weight does not scale the loss (as in
            mmdet).
        factor: Of the element losses, float or 0-dim, a constant in the backward pass.
    """

    prediction: Tensor
    target: Target
    weight: Tensor | None
    factor: float | Tensor = 1.0

    @property
    def examples(self) -> tuple[Tensor, Target, Tensor | None]:
        """What a back end takes: prediction, target and weight."""
        return self.prediction, self.target, self.weight


class RegionSums(NamedTuple):
    """What a pass over the predictions leaves. Levels, chunks and ranks add up.

    Attributes:
        counts: R_j, valid examples per region, int64, shape (M,).
        losses: Sum of the element losses per region, float, shape (M,).
        weight_sum: Sum of the weights of all valid examples, float, 0-dim.
        nonfinite: Valid examples with NaN or infinite input, in no region, int64, 0-dim.
        bad_targets: Targets that nothing ignores and that no head means, see
            ``ghm_mmdet.ops.target_range.bad_targets``; int64, 0-dim.
    """

    counts: Tensor
    losses: Tensor
    weight_sum: Tensor
    nonfinite: Tensor
    bad_targets: Tensor

    @classmethod
    def total(cls, parts: Sequence[RegionSums]) -> RegionSums:
        """The summary of the examples of all parts together."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.stack(fields).sum(0) for fields in zip(*parts, strict=True)))


def is_one(factor: float | Tensor) -> bool:
    """Whether a factor is the number 1; what a tensor holds is not looked at."""
    return not isinstance(factor, Tensor) and factor == 1


def scaled(values: float | Tensor, factor: float | Tensor) -> float | Tensor:
    """Product; where either is the number 1 it is the other itself, and nothing is launched."""
    if is_one(factor):
        return values
    return factor if is_one(values) else values * factor


def are_same(factors: Sequence[float | Tensor]) -> bool:
    """Whether factors are known to be one, without a look at what a tensor holds."""
    first = factors[0]
    if isinstance(first, Tensor):
        return all(factor is first for factor in factors)
    return not any(isinstance(factor, Tensor) or factor != first for factor in factors)


def total_of_levels(
    levels: Sequence[Level], parts: Sequence[RegionSums]
) -> tuple[RegionSums, Tensor]:
    """The summary of all levels, with their factors, from that of each.

    Returns:
        The summary; and each level's examples that are not finite, int64, shape (L,).
    """
    pairs = zip(levels, parts, strict=True)
    factored = [part._replace(losses=scaled(part.losses, level.factor)) for level, part in pairs]
    return RegionSums.total(factored), torch.stack([part.nonfinite for part in parts])


def sums_by(
    module: ModuleType, criterion: Criterion, levels: Sequence[Level], edges: Tensor
) -> tuple[RegionSums, Tensor]:
    """What :func:`ghm_mmdet.ops.level_sums` returns, by one back end.

    It has ``region_sums`` for the examples of one level. It may have ``level_sums``, with the
    arguments and results of this function, for all of them in fewer launches.
    """
    if hasattr(module, 'level_sums'):
        return module.level_sums(criterion, levels, edges)
    parts = [module.region_sums(criterion, *level.examples, edges) for level in levels]
    return total_of_levels(levels, parts)
