"""What a harmonized loss cannot know of its training, and what a training has to know of it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.optim import Optimizer

from ghm_mmdet.arguments import check_positive_integer
from ghm_mmdet.losses.ghm_loss import GHMLoss


class NonfiniteTraining(RuntimeError):
    """A training that has met NaN or infinity for too long; the message is one line."""


@HOOKS.register_module()
class HarmonizedLossHook(Hook):
    """Joins the harmonized losses of a detector to its training.

    - Tells them where an iteration begins and where the optimizer steps: with accumulated
      gradients, their moving averages then change once per step, by the counts of all of it.
    - Logs ``nonfinite_iterations``, how many had NaN or infinite input, as soon as there is one.
    - Ends a run in which a level has had such input in ``patience`` iterations in a row.
    - Where a loss has ``nonfinite='skip'``, sets the gradients of a step to zero if any is not
      finite: features that are NaN make those of weights NaN whatever the loss returns.

    The host reads what the device has counted every ``interval`` iterations, not more often.

    Args:
        interval: Iterations from look to look; MMEngine's logger waits for the device as often.
        patience: Iterations in a row that end a run.
    """

    # before the logger, which is to have the count of the same iteration
    priority = 'NORMAL'

    def __init__(self, interval: int = 50, patience: int = 100) -> None:
        check_positive_integer('interval', interval)
        check_positive_integer('patience', patience)
        self.interval = interval
        self.patience = patience
        self._losses: dict[str, GHMLoss] = {}
        self._iterations: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the losses, and watch the optimizers' steps where gradients may have to go."""
        self._losses = {
            name: module
            for name, module in runner.model.named_modules()
            if isinstance(module, GHMLoss)
        }
        if any(loss.nonfinite == 'skip' for loss in self._losses.values()):
            for optimizer in _optimizers(runner):
                optimizer.register_step_pre_hook(_drop_nonfinite_gradients)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Say where the calls that follow are."""
        is_last = _steps_after(runner.optim_wrapper)
        for loss in self._losses.values():
            loss.step.begin_iteration(is_last)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count this iteration where it is, and look at the count now and then.

        Raises:
            NonfiniteTraining: A level has had NaN or infinity for too many iterations in a row.
        """
        if not self._losses:
            return
        streaks = torch.stack([loss.nonfinite_count.streaks for loss in self._losses.values()])
        poisoned = (streaks > 0).any()
        self._iterations = poisoned + (0 if self._iterations is None else self._iterations)
        if self.every_n_train_iters(runner, self.interval):
            self._look(runner, streaks)

    def _look(self, runner: Runner, streaks: Tensor) -> None:
        *longest, iterations = torch.cat(
            [streaks.max(dim=1).values, streaks.argmax(dim=1), self._iterations.reshape(1)]
        ).tolist()
        if iterations:
            runner.message_hub.update_scalar('train/nonfinite_iterations', iterations)
        half = len(self._losses)
        for name, streak, level in zip(self._losses, longest[:half], longest[half:], strict=True):
            if streak >= self.patience:
                last = runner.iter + 1
                raise NonfiniteTraining(
                    f'{name}: its input has NaN or infinity in each of the iterations '
                    f'{last - streak + 1} to {last}, first in level {level} (from 0); '
                    'resume from a checkpoint before that with a smaller learning rate or a '
                    'longer warm-up, or look for what makes it in the data'
                )


def _optimizers(runner: Runner) -> Iterator[Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = [wrapper] if isinstance(wrapper, OptimWrapper) else wrapper.values()
    for each in wrappers:
        yield each.optimizer


def _steps_after(wrapper: OptimWrapper) -> bool:
    """Whether the optimizer steps at the end of the iteration that begins.

    The wrapper's own ``should_update`` can be asked at the end alone, when its count has gone on.
    """
    accumulated = getattr(wrapper, '_accumulative_counts', 1)
    done, end = getattr(wrapper, '_inner_count', 0) + 1, getattr(wrapper, '_max_counts', -1)
    return done % accumulated == 0 or done == end


@torch.no_grad()
def _drop_nonfinite_gradients(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group['params']
        if parameter.grad is not None
    ]
    if not gradients:
        return
    norms = torch.stack(torch._foreach_norm(gradients))
    poisoned = ~norms.isfinite().all()
    for gradient in gradients:
        gradient.masked_fill_(poisoned, 0)
