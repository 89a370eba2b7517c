"""Sigmoid cross entropy, on logits and on probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ghm_mmdet.method.criteria.criterion import Criterion, Evaluation, working_dtype
from ghm_mmdet.method.criteria.targets import Target


class SigmoidCrossEntropy(Criterion):
    """Binary cross entropy on logits: one example is one (anchor, class) pair.

    Paper, section "GHM-C Loss": p = sigmoid(x), d CE / d x = p - p*, so g = |p - p*|.
    """

    probabilities = True

    def __init__(self) -> None:
        super().__init__('sigmoid_cross_entropy')

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        logits = prediction.to(working_dtype(prediction))
        # max(x, 0) - x p* + log(1 + exp(-|x|)) neither overflows nor cancels
        loss = target.subtract_from(logits.relu(), logits) + torch.log1p(torch.exp(-logits.abs()))
        gradient_norm = self.gradient(prediction, target).abs()
        return Evaluation(loss, gradient_norm, gradient_norm.isfinite() & logits.isfinite())

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        return target.subtract_from(prediction.to(working_dtype(prediction)).sigmoid())


class ProbabilityCrossEntropy(Criterion):
    """Binary cross entropy on probabilities, for heads that apply the sigmoid themselves.

    g = |p - p*| as in :class:`SigmoidCrossEntropy`: the gradient norm of the logit, which
    such a head does not return. The derivative is by the probability, (p - p*) / (p (1 - p)).
    """

    probabilities = True
    SMALLEST = 1e-12  # of p (1 - p), and exp of the smallest logarithm: 0 and 1 stay finite

    def __init__(self) -> None:
        super().__init__('probability_cross_entropy')

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        probability = prediction.to(working_dtype(prediction))
        negative = -torch.log1p(-probability).clamp(min=math.log(self.SMALLEST))
        positive = -torch.log(probability).clamp(min=math.log(self.SMALLEST))
        loss = target.subtract_from(negative, negative - positive)
        gradient_norm = target.subtract_from(probability).abs()
        in_range = (probability >= 0) & (probability <= 1)
        return Evaluation(loss, gradient_norm, in_range & gradient_norm.isfinite())

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        probability = prediction.to(working_dtype(prediction))
        slope = (probability * (1 - probability)).clamp(min=self.SMALLEST)
        return target.subtract_from(probability) / slope
