"""Criteria, which define the loss and gradient norm of an example, and targets."""

from ghm_mmdet.method.criteria.authentic_smooth_l1 import AuthenticSmoothL1
from ghm_mmdet.method.criteria.criterion import Criterion, Evaluation, working_dtype
from ghm_mmdet.method.criteria.sigmoid_cross_entropy import (
    ProbabilityCrossEntropy,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.criteria.softmax_cross_entropy import SoftmaxCrossEntropy
from ghm_mmdet.method.criteria.targets import DenseTarget, LabelTarget, Target

__all__ = [
    'AuthenticSmoothL1',
    'Criterion',
    'DenseTarget',
    'Evaluation',
    'LabelTarget',
    'ProbabilityCrossEntropy',
    'SigmoidCrossEntropy',
    'SoftmaxCrossEntropy',
    'Target',
    'working_dtype',
]
