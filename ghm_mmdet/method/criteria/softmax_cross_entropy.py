"""Softmax cross entropy: one example is one anchor."""

from __future__ import annotations

from torch import Tensor

from ghm_mmdet.method.criteria.criterion import Criterion, Evaluation, working_dtype
from ghm_mmdet.method.criteria.targets import Target


class SoftmaxCrossEntropy(Criterion):
    """Cross entropy over the classes of a row; the examples have shape (N, 1).

    The gradient is the vector p - y. g is half its L1 norm: it lies in [0, 1], and is 1 - p_label
    if y is a label. Background is a class like any other.
    """

    probabilities = True

    def __init__(self) -> None:
        super().__init__('softmax_cross_entropy')

    def examples(self, prediction: Tensor) -> Tensor:
        return prediction[..., :1]

    def background(self, prediction: Tensor) -> int:
        return prediction.size(-1) - 1

    def evaluate(self, prediction: Tensor, target: Target) -> Evaluation:
        log_probability = prediction.to(working_dtype(prediction)).log_softmax(dim=-1)
        zero = log_probability.new_zeros(()).expand_as(log_probability)
        loss = target.subtract_from(zero, log_probability).sum(-1, keepdim=True)
        gradient_norm = self.gradient(prediction, target).abs().sum(-1, keepdim=True) / 2
        finite = prediction.isfinite().all(-1, keepdim=True) & loss.isfinite()
        return Evaluation(loss, gradient_norm.clamp(max=1), finite)

    def gradient(self, prediction: Tensor, target: Target) -> Tensor:
        return target.subtract_from(prediction.to(working_dtype(prediction)).softmax(dim=-1))
