"""GHM-C: harmonized cross entropy, sigmoid or softmax."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from torch import Tensor

from ghm_mmdet.losses.call_forms import classification_target, either_weight, example_weight
from ghm_mmdet.losses.ghm_loss import GHMLoss, PartialLoss, build_balance, build_density
from ghm_mmdet.losses.label_check import LabelCheck
from ghm_mmdet.method.arguments import check_choice
from ghm_mmdet.method.criteria import (
    LabelTarget,
    ProbabilityCrossEntropy,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
)
from ghm_mmdet.ops import Level, RegionSums

CRITERIA = {
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
    With sigmoid, one example is one (anchor, class) pair; the defaults are those of mmdet's
    ``GHMC`` and give its numbers, and the paper's form, where it differs, is an argument. With
    softmax, one example is one anchor with g = 1 - p_label, and background is a class.

    Args:
        use_sigmoid: Must be written out: MMDetection's heads read it from the config, and build a
            softmax head with C + 1 channels without it. False is for such heads, as in Faster
            R-CNN.
        bins: M, the number of unit regions.
        momentum: a of the moving average over iterations, in [0, 1).
        loss_weight: Factor of the loss.
        reduction: 'none', 'mean' or 'sum'.
        density: 'unit_region' is the paper's approximation, 'exact' its definition, with a window
            of width ``epsilon`` centred on each example.
        epsilon: Width of the window of the exact density, in (0, 1]; unused by 'unit_region'.
        divisor: Regions that share the weight: 'non_empty' (mmdet) or 'all' M of them (paper).
            The exact density has no regions to count and is as in the paper.
        bias_correction: Whether the moving average is freed of the zero that it starts from (False:
            mmdet, whose first weights are 1 / (1 - momentum) too large).
        empty_regions: Regions without an example in this call 'freeze' in the moving average
            (mmdet) or 'decay' (paper). The exact density always decays.
        equal: 'weight' gives every region the same total weight (paper), 'gradient' the same total
            gradient norm, so that the many easy examples go on being pushed (ours).
        tempering: Exponent of the weights in [0, 1]: 1 is the paper's, 0 plain cross entropy, with
            equal gradient times what keeps the total gradient (ours).
        outliers: 'damp' takes weight from a crowd of hard examples as from any other (paper),
            'keep' has weights that never fall as g grows, for data on which most positives are that
            crowd (ours). Of unit regions only.
        backend: What computes: 'reference', 'torch', 'cpp', 'triton', or 'float32' for devices
            without float64. None is what the environment variable ``GHM_MMDET_BACKEND`` says, else
            the device's own.
        sync: Whether the density and the moving average are those of all ranks' examples together
            (False: each rank's own, as in mmdet). For heads that call the loss on every rank, also
            without positives.
        nonfinite: 'propagate' makes loss and gradient NaN where a valid example is not finite, so
            that mixed precision skips the step; 'skip' makes both zero. The moving average stays as
            it is in both.
        activated: Whether the head hands over probabilities, as TOOD does, and not logits. g is
            the gradient norm of the logit behind them all the same.

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
        density: str = 'unit_region',
        epsilon: float = 1 / 30,
        divisor: str = 'non_empty',
        bias_correction: bool = False,
        empty_regions: str = 'freeze',
        equal: str = 'weight',
        tempering: float = 1.0,
        outliers: str = 'damp',
        backend: str | None = None,
        sync: bool = False,
        nonfinite: str = 'propagate',
        activated: bool = False,
    ) -> None:
        check_choice('use_sigmoid', use_sigmoid, (True, False))
        check_choice('activated', activated, (False, True) if use_sigmoid else (False,))
        gradient_density = build_density(
            density=density,
            bins=bins,
            epsilon=epsilon,
            momentum=momentum,
            bias_correction=bias_correction,
            divisor=divisor,
            empty_regions=empty_regions,
        )
        balance = build_balance(
            equal=equal, tempering=tempering, outliers=outliers, density=density
        )
        criterion = CRITERIA[use_sigmoid, activated]()
        super().__init__(
            criterion, gradient_density, balance, loss_weight, reduction, backend, sync, nonfinite
        )
        self.use_sigmoid = use_sigmoid
        self.activated = activated
        self.label_check = LabelCheck()

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
            weight: One per anchor (N,), one per example, also in a row (N * C,), or broadcastable
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
        self._undo_casts()
        examples = self.criterion.examples(pred)
        weight = example_weight(examples, either_weight(weight, label_weight))
        parsed = classification_target(pred, target, scores=self.use_sigmoid)
        return self.harmonize(Level(pred, parsed, weight), reduction_override)

    def _sums(self, levels: Sequence[Level]) -> tuple[Sequence[Level], RegionSums, Tensor]:
        levels, sums, nonfinite = super()._sums(levels)
        self.label_check(sums.bad_targets, self._allowed(levels[0]))
        return levels, sums, nonfinite

    def _allowed(self, level: Level) -> str:
        """What the targets of a level are and have to be."""
        if not isinstance(level.target, LabelTarget):
            return 'values outside the range, must be in [0, 1]'
        background = self.criterion.background(level.prediction)
        also = '' if level.target.score is None else ', with scores in [0, 1]'
        return (
            f'labels{" or scores" if also else ""} outside the range, must be in '
            f'[0, {background}], where {background} is background{also}'
        )
