"""GHM-C: harmonized cross entropy, sigmoid or softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mmdet.registry import MODELS
from torch import Tensor

from ghm_mmdet.losses.class_weight import ClassWeight
from ghm_mmdet.losses.ghm_loss import GHMLoss, build_density
from ghm_mmdet.losses.monitors import LabelCheck
from ghm_mmdet.losses.partial_loss import PartialLoss
from ghm_mmdet.losses.positive_gradient import PositiveGradient
from ghm_mmdet.method.arguments import check_choice, check_interval
from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.call_forms import either_weight
from ghm_mmdet.method.criteria import (
    Criterion,
    ProbabilityCrossEntropy,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from ghm_mmdet.ops import Examples
from ghm_mmdet.ops.compiling import not_traced

CRITERIA: dict[tuple[bool, bool], Callable[[], Criterion]] = {
    (True, False): SigmoidCrossEntropy,
    (True, True): ProbabilityCrossEntropy,
    (False, False): SoftmaxCrossEntropy,
}
"""By whether the head uses sigmoid, and whether it hands over probabilities."""


@MODELS.register_module()
class GHMCLoss(GHMLoss):
    """Gradient harmonized classification loss, in place of focal loss.

    Source: Li, Liu, Wang, *Gradient Harmonized Single-stage Detector*, AAAI 2019, section "GHM-C
        Loss".
    With sigmoid, one example is one (anchor, class) pair. The defaults and the values are those of
    mmdet's ``GHMC``; ``density='paper'`` is the paper's form. With
    softmax, one example is one anchor with g = 1 - p_label, and background is a class.

    Args:
        use_sigmoid: Must be written out: MMDetection's heads read it from the config, and build a
            softmax head with C + 1 channels without it. False is for softmax heads, as in Faster
            R-CNN.
        bins: M, the number of unit regions, bins of the gradient norm g.
        momentum: a of the moving average over iterations, in [0, 1).
        loss_weight: Factor of the loss.
        reduction: 'none', 'mean' or 'sum'.
        activated: Whether the head hands over probabilities, as TOOD does, and not logits. g is
            still the gradient norm of the logit.
        density: 'mmdet' has M unit regions. The regions with an example share the weight, and
            the moving average of an empty region stays. 'paper' shares the weight among all M, and
            the moving average of an empty region decays. 'exact' is the paper's definition, a
            window of width 1 / bins centred on each example.
        bias_correction: Whether to correct the moving average for its start at zero (False: mmdet,
            whose first weights are 1 / (1 - momentum) times too large). It needs a momentum.
        balance: 'weight' gives every region the same total weight (paper). 'gradient' gives every
            region the same total gradient norm, so that training goes on to push down the many easy
            examples. 'small-data' is for a few hundred images. A dict sets the parts: ``equal``
            ('weight' or 'gradient'), ``tempering`` (exponent of the weights in [0, 1]; 0 is plain
            cross entropy, with 'gradient' up to a factor) and ``outliers`` ('damp' takes weight
            from a crowd of hard examples, 'keep' has weights that never fall as g grows; not with
            the exact density). ``preset`` in the dict names the balance that it changes.
        class_weight: Factor of the loss of a positive, by its class, see
            :class:`ghm_mmdet.losses.class_weight.ClassWeight`: one number per class, without
            background; or 'auto' or ``dict(auto=exponent)`` for more weight on the rarer classes of
            the training set. Densities and beta do not change.
        gamma: The loss is multiplied by the mean gradient norm of the positives to this power, so
            that it falls as they are learned, as focal loss does: see
            :class:`ghm_mmdet.losses.positive_gradient.PositiveGradient`. 0 is as published.
        sync: Whether to count the examples of all ranks together for the density and the moving
            average (False: each rank's own, as in mmdet). For heads that call the loss on every
            rank, also without positives.

    Raises:
        ValueError: An argument is out of range, or has no effect beside the others.

    Shape:
        - pred: Logits (N, C), or any shape where the target has the same; with softmax (N, C + 1).
        - target: Labels (N,) in [0, C] with C for background; a pair (labels, score) with a soft
          score in [0, 1] at the label; or hard or soft values of the prediction's shape. With
          softmax labels, or values.
        - output: 0-dim, or with reduction 'none' the prediction's shape, with softmax (N,).

    Examples:
        >>> loss = GHMCLoss(use_sigmoid=True, bins=30, momentum=0.75)
        >>> logits = torch.randn(1000, 80, requires_grad=True)
        >>> loss(logits, torch.randint(0, 81, (1000,))).backward()
    """

    def __init__(
        self,
        *,
        use_sigmoid: bool,
        bins: int = 10,
        momentum: float = 0,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        activated: bool = False,
        density: str = 'mmdet',
        bias_correction: bool = False,
        balance: str | Mapping[str, object] | Balance = 'weight',
        class_weight: str | Mapping[str, float] | Sequence[float] | None = None,
        gamma: float = 0,
        sync: bool = False,
    ) -> None:
        check_choice('use_sigmoid', use_sigmoid, (True, False))
        check_choice('activated', activated, (False, True))
        if activated and not use_sigmoid:
            raise ValueError('activated=True: must be False where use_sigmoid=False')
        super().__init__(
            CRITERIA[use_sigmoid, activated](),
            build_density(density, bins, momentum, bias_correction),
            balance,
            loss_weight,
            reduction,
            sync,
        )
        self.use_sigmoid = use_sigmoid
        self.activated = activated
        self.label_check = LabelCheck()
        if class_weight is not None:
            self.class_weight = ClassWeight(class_weight)
        check_interval('gamma', gamma, '[0, inf)')
        if gamma and reduction == 'none':  # such a call does not change the mean
            raise ValueError(f"gamma={gamma}: must be 0 where reduction='none'")
        self.positive_gradient = PositiveGradient(gamma, momentum) if gamma else None

    @property
    def state(self) -> list[Tensor]:
        """See :class:`GHMLoss`."""
        positive = [self.positive_gradient.sums] if self.positive_gradient else []
        return [*self.density.state, *positive]

    @not_traced
    def forward(
        self,
        pred: Tensor,
        target: Tensor | tuple[Tensor, Tensor],
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        *,
        label_weight: Tensor | None = None,
    ) -> Tensor | PartialLoss:
        """Loss of one call of a head.

        Args:
            pred: Logits, see the class.
            target: Labels, (labels, score) or values, see the class.
            weight: One per anchor (N,), one per example, also flattened (N * C,), or broadcastable
                to ``pred``; 0 ignores, any positive number counts as one example (as in mmdet).
                None is all ones.
            avg_factor: Accepted because heads pass it, and not used: N, the number of valid
                examples, is already in the weights, whatever the reduction.
            reduction_override: Overrides ``reduction`` for this call.
            label_weight: The name that mmdet's ``GHMC`` has for ``weight``.

        Raises:
            ValueError: Shapes do not fit, or labels lie outside [0, C], scores or values outside
                [0, 1] and nothing ignores them (on an accelerator: at the next log interval; under
                ``torch.compile``: in ``label_check.raise_if_bad()``).
            RuntimeError: There is a moving average, and a non-reentrant activation checkpoint
                around the loss computes it a second time.
        """
        weight = either_weight(weight, label_weight)
        examples = Examples.of_call(self.criterion, pred, target, weight)
        return self.harmonize(examples, reduction_override)

    def _reduce(self, levels: Sequence[Examples], reduction: str) -> Tensor:
        loss = super()._reduce(levels, reduction)
        if self.positive_gradient is None:
            return loss
        if self._trains:
            self.positive_gradient.update(self.criterion, levels, loss.detach(), self.sync)
        return self.positive_gradient.weigh(loss)

    def _losses_of_examples(self, examples: Examples) -> Tensor:
        losses = super()._losses_of_examples(examples)
        return self.positive_gradient.weigh(losses) if self.positive_gradient else losses

    def _check_targets(self, examples: Examples, bad_targets: Tensor) -> None:
        self.label_check.note(bad_targets, self.criterion, examples)
