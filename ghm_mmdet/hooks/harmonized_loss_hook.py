"""Connects GHM losses to optimizer steps, and ends a run whose input stays non-finite."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ghm_mmdet.datasets.class_counts import class_counts
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.arguments import check_positive_integer


class NonfiniteTraining(RuntimeError):
    """NaN or infinity in too many iterations in a row; the message is one line."""


@HOOKS.register_module()
class HarmonizedLossHook(Hook):
    """Connects the harmonized losses of a detector to its training.

    - Marks where an iteration begins and where the optimizer steps: with accumulated
      gradients, the moving averages then change once per step, by the counts of the whole step.
    - Counts the objects of each class for losses with ``class_weight='auto'``.
    - Logs ``nonfinite_iterations``, the number of iterations with NaN or infinite input, once there
      is one.
    - Ends a run if a level has had such input in ``patience`` iterations in a row.
    - With ``skip_nonfinite``, sets all gradients of an optimizer step to zero if any is not finite.

    The host reads the counts of the device every ``interval`` iterations, not more often.

    Args:
        interval: Iterations between two reads; MMEngine's logger waits for the device as often.
        patience: Non-finite iterations in a row that end a run.
        skip_nonfinite: Whether a step with a gradient that is not finite changes the weights by the
            optimizer's momentum alone. A ``GradScaler`` skips such steps by itself.
    """

    # before the logger, which is to have the count of the same iteration
    priority = 'NORMAL'

    def __init__(
        self, interval: int = 50, patience: int = 100, skip_nonfinite: bool = False
    ) -> None:
        check_positive_integer('interval', interval)
        check_positive_integer('patience', patience)
        self.interval = interval
        self.patience = patience
        self.skip_nonfinite = skip_nonfinite
        self._losses: dict[str, GHMLoss] = {}
        self._before_steps: list[RemovableHandle] = []
        # by loss and level, and of any; on the device from the first iteration on
        self._streaks: Tensor | int = 0
        self._iterations: Tensor | int = 0

    def before_train(self, runner: Runner) -> None:
        """Find the losses, and watch the optimizers' steps with ``skip_nonfinite``.

        A new training resets the moving averages, because averages of ``load_from`` are another
        run's. This also covers a loss whose first call is in a later iteration.

        Raises:
            ValueError: The training has a second such hook. The first would see all flags, and the
                second none.
        """
        if sum(isinstance(each, HarmonizedLossHook) for each in getattr(runner, 'hooks', ())) > 1:
            raise ValueError(
                'HarmonizedLossHook: a training takes one, and the config has another; write the '
                'arguments into default_hooks.harmonized_loss where the config inherits the hook'
            )
        self._losses = {
            name: module
            for name, module in runner.model.named_modules()
            if isinstance(module, GHMLoss)
        }
        self._streaks = self._iterations = 0
        if runner.iter == 0:
            for loss in self._losses.values():
                loss.reset()
        self._count_classes(runner)
        # an interrupted training did not remove them
        self._let_optimizers_be()
        if self.skip_nonfinite:
            _check_step_hooks(runner)
            wrapper = runner.optim_wrapper
            wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
            self._before_steps = [
                each.optimizer.register_step_pre_hook(_drop_nonfinite_gradients)
                for each in wrappers
            ]

    def _count_classes(self, runner: Runner) -> None:
        weights = [loss.class_weight for loss in self._losses.values()]
        automatic = [each for each in weights if each is not None and each.exponent is not None]
        if not automatic:
            return
        counts = class_counts(runner.train_dataloader.dataset)
        for weight in automatic:
            weight.count(list(counts.values()))
            values = zip(counts, weight.values.tolist())
            listed = ', '.join(f'{name} {value:.3g}' for name, value in values)
            runner.logger.info(f'class_weight by the objects of the training set: {listed}')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Mark the start of an iteration in each loss, and whether the optimizer steps after it."""
        steps = _steps(runner.optim_wrapper)
        for loss in self._losses.values():
            loss.step.begin_iteration(is_last=steps)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count non-finite iterations on the device, and read the count every ``interval``.

        Raises:
            NonfiniteTraining: A level has had NaN or infinity for too many iterations in a row.
        """
        if not self._losses:
            return
        flags = torch.stack([loss.nonfinite_flags.take() for loss in self._losses.values()])
        self._streaks = (self._streaks + 1) * flags
        self._iterations = self._iterations + flags.any()
        if self.every_n_train_iters(runner, self.interval):
            self._look(runner)

    def after_train(self, runner: Runner) -> None:
        """Remove the hooks of the optimizers."""
        self._let_optimizers_be()

    def _let_optimizers_be(self) -> None:
        while self._before_steps:
            self._before_steps.pop().remove()

    def _look(self, runner: Runner) -> None:
        seen = torch.cat([self._streaks.flatten(), self._iterations.reshape(1)])
        # so that all ranks end together, and the rank that logs has the counts of the others
        all_reduce(seen, op='max')
        *streaks, iterations = seen.tolist()
        if iterations:
            runner.message_hub.update_scalar('train/nonfinite_iterations', iterations)
        longest = max(streaks)
        if longest < self.patience:
            return
        loss, level = divmod(streaks.index(longest), self._streaks.size(1))
        last = runner.iter + 1
        raise NonfiniteTraining(
            f'{list(self._losses)[loss]}: its input has NaN or infinity in each of the iterations '
            f'{last - longest + 1} to {last}, in level {level} (from 0); resume from a checkpoint '
            'before that with a smaller learning rate or a longer warm-up, or look for the cause '
            'in the data'
        )


def _check_step_hooks(runner: Runner) -> None:
    # once torch 2.0 or 2.1 has compiled anything, no optimizer calls its hooks any more
    if torch.__version__ < (2, 4) and runner.cfg.get('compile'):
        raise ValueError(
            f'HarmonizedLossHook: skip_nonfinite=True with compile and torch {torch.__version__}: '
            'needs torch 2.4; leave one of the two out'
        )


def _steps(wrapper: BaseOptimWrapper) -> bool:
    """Whether the optimizer steps in this iteration.

    Several optimizers have no common count, so each iteration is taken for a step. DeepSpeed counts
    in an engine of its own, so each micro-batch is taken for a step.
    """
    counts = isinstance(wrapper, OptimWrapper) and not isinstance(wrapper, OptimWrapperDict)
    return not counts or wrapper.should_sync()


@torch.no_grad()
def _drop_nonfinite_gradients(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group['params']
        if parameter.grad is not None and parameter.grad.numel()
    ]
    if not gradients:
        return
    # the largest, as a sum of squares may be infinite where no gradient is
    largest = torch.stack(torch._foreach_norm(gradients, float('inf')))
    poisoned = ~largest.isfinite().all()
    for gradient in gradients:
        gradient.masked_fill_(poisoned, 0)
