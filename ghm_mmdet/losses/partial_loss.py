"""What a harmonized loss returns for one level where one density spans several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from ghm_mmdet.ops import Examples, scaled

if TYPE_CHECKING:
    from ghm_mmdet.losses.ghm_loss import GHMLoss

ONLY_SCALED = (
    'the GHM loss of one level was {}: it is computed after all levels, so a head can multiply or '
    'divide it, and return it; return another loss under a name of its own'
)


@dataclass(frozen=True)
class PartialLoss:
    """One level's share of a loss whose density spans several levels.

    Nothing is computed yet. :meth:`GHMLoss.merge` computes all levels together; do not modify the
    tensors before that. A head can multiply, divide and return a share; all else is an error.

    Attributes:
        loss: The whole loss.
        examples: Of the level. Their factor includes the factors that a head multiplies by.
        reduction: Of the whole loss.
        ignores_factors: Whether factors that a head multiplies the share by have no effect.
    """

    loss: GHMLoss
    examples: Examples
    reduction: str
    ignores_factors: bool

    def __mul__(self, factor: float | Tensor) -> PartialLoss:
        return self._with_factor(scaled(self.examples.factor, factor), factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> PartialLoss:
        return self._with_factor(self.examples.factor / divisor, divisor)

    def __add__(self, other: object) -> PartialLoss:
        raise TypeError(ONLY_SCALED.format('added to'))

    __radd__ = __sub__ = __rsub__ = __add__

    def __getattr__(self, name: str) -> object:
        raise AttributeError(ONLY_SCALED.format(f'asked for its {name}'))

    def _with_factor(self, result: float | Tensor, factor: float | Tensor) -> PartialLoss:
        if self.ignores_factors:
            return self
        if isinstance(factor, Tensor) and factor.requires_grad:
            raise ValueError(
                'factor of a level: has a gradient, must be a constant; detach it, or take a '
                'density per level'
            )
        return replace(self, examples=self.examples._replace(factor=result))
