"""The part that class weights add to a harmonized loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ghm_mmdet.method.arguments import check_interval
from ghm_mmdet.method.class_weight import inverse_frequency
from ghm_mmdet.method.criteria import Criterion, DenseTarget, working_dtype
from ghm_mmdet.ops import Examples, example_losses, scaled

ALLOWED = "must be a list with one number per class, 'auto', or dict(auto=exponent)"


class ClassWeight:
    """f_i = 1 + (w_c - 1) t_i, the factor by which class weights multiply an example's loss.

    t_i is the target at class c: a positive counts w_c, a negative 1, and a soft target lies
    between in proportion. Background always counts 1. Densities and beta do not depend on it. The
    weights are no buffer: they come from the config or the training set, not from a checkpoint.

    Args:
        setting: One weight per class, in [1e-3, 1e6]; or 'auto', :func:`inverse_frequency` with an
            exponent of 0.5; or ``dict(auto=exponent)``, with the exponent in (0, 1].

    Attributes:
        exponent: Of 'auto', else None.

    Raises:
        ValueError: The setting is none of these.
    """

    def __init__(self, setting: str | Mapping[str, float] | Sequence[float]) -> None:
        self.exponent: float | None = None
        weights: Sequence[float] = ()
        if isinstance(setting, str) and setting == 'auto':
            setting = dict(auto=0.5)
        if isinstance(setting, Mapping) and setting.keys() == {'auto'}:
            check_interval('class_weight.auto', setting['auto'], '(0, 1]')
            self.exponent = setting['auto']
        elif isinstance(setting, Sequence) and not isinstance(setting, (str, bytes)) and setting:
            weights = setting
            for index, weight in enumerate(weights):
                check_interval(f'class_weight[{index}]', weight, '[1e-3, 1e6]')
        else:
            raise ValueError(f'class_weight={" ".join(repr(setting).split())}: {ALLOWED}')
        self.values = torch.tensor(weights, dtype=torch.float32, device='cpu')

    def count(self, objects: Sequence[int]) -> None:
        """Take the weights of 'auto' from the number of objects of each class."""
        assert self.exponent is not None
        self.values = inverse_frequency(objects, self.exponent)

    def prepare(
        self, levels: Sequence[Examples], criterion: Criterion, trains: bool
    ) -> list[Examples]:
        """Check that there is a weight for each class, and cast half precision to float32.

        Where a class weight is small, the gradients of the loss and of the part that class weights
        add nearly cancel, and their sum would keep the rounding errors of half precision.

        Args:
            levels: At least one.
            criterion: Of the examples.
            trains: Whether the call trains; only then 'auto' has to be counted already.

        Raises:
            ValueError: A class has no weight.
        """
        known, classes = len(self.values), criterion.background(levels[0].prediction)
        if trains and not known:
            raise ValueError(
                "class_weight='auto': must be counted before the training; add HarmonizedLossHook "
                'to the config, or write one weight per class'
            )
        if known and known != classes:
            raise ValueError(
                f'class_weight of {known} classes: must have {classes}, as the head; give one '
                'weight per class'
            )
        predictions = (each.prediction.to(working_dtype(each.prediction)) for each in levels)
        return [each._replace(prediction=one) for each, one in zip(levels, predictions)]

    def extra(
        self, criterion: Criterion, levels: Sequence[Examples], edges: Tensor, scale: Tensor
    ) -> Tensor:
        """The part that the weights add to a loss, sum_i scale_j (f_i - 1) l_i, 0-dim.

        Args:
            criterion: Of the examples.
            levels: At least one.
            edges: Region edges, shape (M + 1,).
            scale: Derivative of the loss with respect to each region's loss sum, a constant in the
                backward pass, shape (M,).
        """
        parts = [self._extra(criterion, level, edges, scale)[0].sum() for level in levels]
        return torch.stack([scaled(part, each.factor) for part, each in zip(parts, levels)]).sum()

    def weigh(
        self, losses: Tensor, criterion: Criterion, examples: Examples, edges: Tensor, beta: Tensor
    ) -> Tensor:
        """beta_i f_i l_i of every example.

        Args:
            losses: beta_i l_i, in the shape of the criterion's examples.
            criterion: Of the examples.
            examples: Their factor is not applied.
            edges: Region edges, shape (M + 1,).
            beta: Weight per region, shape (M,).
        """
        extra, column = self._extra(criterion, examples, edges, beta)
        return losses + extra if column is None else losses.scatter_add(1, column, extra)

    def _extra(
        self, criterion: Criterion, examples: Examples, edges: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """scale_j (f_i - 1) l_i of the examples for which it can differ from 0.

        Returns:
            For labels in sigmoid cross entropy a number per anchor, (N, 1), and its column, int64,
            (N, 1); else numbers in the shape of the criterion's examples, and None.
        """
        prediction, target, *_ = examples
        classes = criterion.background(prediction)
        more, by_row = self._more(classes, prediction.device), prediction.size(-1) > classes
        if isinstance(target, DenseTarget):
            more = more * _finite(target.values[..., :classes])
            if by_row:
                more = more.sum(-1, keepdim=True)
            return more * example_losses(criterion, examples, edges, scale), None
        # all other examples of the row are negatives
        at_label, value, column = examples.at_labels(classes)
        share = _finite(value)
        more = more[column] * share
        if by_row:
            return more * example_losses(criterion, examples, edges, scale), None
        at_label = at_label._replace(target=DenseTarget(share))
        return more * example_losses(criterion, at_label, edges, scale), column

    def _more(self, classes: int, device: torch.device) -> Tensor:
        """w_c - 1, shape (C,)."""
        values = self.values.to(device)
        if device.type != 'meta':
            self.values = values
        return values - 1 if len(values) else values.new_zeros(classes)


def _finite(target: Tensor) -> Tensor:
    """The target with 0 for values that are not finite.

    If such a value is ignored it must have no effect; otherwise the loss is NaN anyway.
    """
    return target.float().nan_to_num(0.0, 0.0, 0.0)
