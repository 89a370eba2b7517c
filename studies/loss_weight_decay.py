"""A hook that lowers the weight of the classification loss during a training.

docs/studies/fine-tuning.md has the results.
"""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class LossWeightDecay(Hook):
    """Lowers the weight of a dense head's classification loss by the same factor each iteration.

    Args:
        last: Weight at the end of the training, as a share of the loss's own.
    """

    def __init__(self, last: float) -> None:
        self.last = last

    def before_train(self, runner: Runner) -> None:
        self._loss = runner.model.bbox_head.loss_cls
        self._first = self._loss.loss_weight

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self._loss.loss_weight = self._first * self.last ** (runner.iter / runner.max_iters)
