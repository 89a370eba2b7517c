"""GHM-C and GHM-R as functions, in torch alone: no MMDetection, and the same back ends.

    from ghm_mmdet.functional import UnitRegionDensity, ghm_c

    density = UnitRegionDensity(bins, momentum=0.75)    # or only the number of bins: no average
    loss = ghm_c(logits, labels, density=density)

A density with a momentum is a module that holds the moving average: it changes in every call with
gradients while the density is in training mode. Make it a part of the model, so that checkpoints
save it and ``model.to(device)`` moves it. A call inside an activation checkpoint would change it
twice: call the loss outside.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ghm_mmdet.method.arguments import check_choice
from ghm_mmdet.method.balance import Balance, build_balance
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    Criterion,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from ghm_mmdet.method.density import ExactDensity, GradientDensity, UnitRegionDensity
from ghm_mmdet.ops import (
    Examples,
    Reduction,
    choose_backend,
    use_backend,
)
from ghm_mmdet.ops import harmonized_loss as operator
from ghm_mmdet.ops.compiling import assume_constant_result, is_compiling, not_traced
from ghm_mmdet.ops.target_range import allowed_targets, bad_targets_error

__all__ = [
    'ExactDensity',
    'UnitRegionDensity',
    'ghm_c',
    'ghm_r',
    'harmonized_loss',
    'use_backend',
]

# made here, and not in a function that torch.compile traces
SIGMOID, SOFTMAX = SigmoidCrossEntropy(), SoftmaxCrossEntropy()


def ghm_c(
    logits: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    weight: Tensor | None = None,
    *,
    density: GradientDensity | int = 30,
    balance: str | Mapping[str, object] | Balance = 'weight',
    use_sigmoid: bool = True,
    reduction: str = 'mean',
) -> Tensor:
    """Gradient harmonized classification loss (paper, section "GHM-C Loss"), float, 0-dim.

    Args:
        logits: Shape (N, C), or any shape where the target has the same.
        target: Labels (N,) in [0, C], with sigmoid C for background, or in [0, C) with softmax; a
            pair (labels, score) with sigmoid; or values in [0, 1] of the logits' shape.
        weight: One per row (N,), or broadcastable to the logits; 0 ignores an example, any positive
            number counts it once.
        density: M, the number of unit regions (bins of g); or a density, see the module.
        balance: See :func:`ghm_mmdet.method.balance.build_balance`.
        use_sigmoid: Whether an example is one (row, class) pair; with softmax it is one row.
        reduction: 'mean' divides by the number of valid examples, 'sum' does not.

    Raises:
        ValueError: Shapes do not fit, or targets are out of range (on a CPU only, so that the host
            never waits for another device).
    """
    check_choice('use_sigmoid', use_sigmoid, (True, False))
    criterion = SIGMOID if use_sigmoid else SOFTMAX
    return harmonized_loss(criterion, logits, target, weight, density, balance, reduction)


def ghm_r(
    prediction: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    mu: float = 0.02,
    density: GradientDensity | int = 10,
    balance: str | Mapping[str, object] | Balance = 'weight',
    reduction: str = 'mean',
) -> Tensor:
    """Gradient harmonized regression loss (paper, section "GHM-R Loss"), float, 0-dim.

    Args:
        prediction: Any shape; one example is one number.
        target: Of the same shape.
        weight: As in :func:`ghm_c`.
        mu: Width of the quadratic part, in the units of the target.
        density: See :func:`ghm_c`.
        balance: See :func:`ghm_c`.
        reduction: See :func:`ghm_c`.

    Raises:
        ValueError: Shapes do not fit, or an argument is out of range.
    """
    criterion = AuthenticSmoothL1(_known_mu(mu))
    return harmonized_loss(criterion, prediction, target, weight, density, balance, reduction)


@not_traced
def harmonized_loss(
    criterion: Criterion,
    prediction: Tensor,
    target: Tensor | tuple[Tensor, Tensor],
    weight: Tensor | None,
    density: GradientDensity | int,
    balance: str | Mapping[str, object] | Balance = 'weight',
    reduction: str = 'mean',
) -> Tensor:
    """L = (1/N) sum_i beta_i l_i for any criterion, float, 0-dim; beta is without a gradient.

    Args:
        criterion: Loss and gradient norm of one example. Under ``torch.compile`` it has to be made
            outside the compiled function.
        prediction: As the criterion takes it.
        target: As in :func:`ghm_c`; for a criterion without ``probabilities`` as in :func:`ghm_r`.
        weight: As in :func:`ghm_c`.
        density: See :func:`ghm_c`.
        balance: See :func:`ghm_c`.
        reduction: See :func:`ghm_c`.

    Raises:
        ValueError: See :func:`ghm_c`.
    """
    check_choice('reduction', reduction, ('mean', 'sum'))
    if not isinstance(density, GradientDensity):
        # not moved there afterwards, which torch 2.8 does not trace
        density = UnitRegionDensity(density, device=prediction.device)
    balance = build_balance(balance, density)
    levels = [Examples.of_call(criterion, prediction, target, weight)]
    backend = choose_backend(levels)
    trains = density.training and torch.is_grad_enabled()
    how = Reduction(mean=reduction == 'mean', by_weight=False, loss_weight=1.0)
    result = operator(criterion, levels, density, balance, how, trains, backend)
    bad = result.bad_targets
    if bad.device.type == 'cpu' and not is_compiling() and bad:
        raise bad_targets_error(int(bad), allowed_targets(criterion, levels[0]))
    return result.loss


@assume_constant_result
def _known_mu(mu: float) -> float:
    """Make a criterion of this mu while torch.compile traces, so that operators find its key."""
    return AuthenticSmoothL1(mu).mu
