"""Makes a resumed run equal to a run without interruption."""

from __future__ import annotations

import logging

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from ghm_mmdet.datasets.seeded_loading import seed_generators, seed_loading

KEY = 'exact_resume_seeds'
DATA, MODEL = 0, 1
"""Numbers of the two uses of a seed."""


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes all random numbers of a training functions of the seed and the iteration.

    MMEngine's checkpoints hold weights, optimizer, schedules and the moving averages, but no state
    of a random generator; that of the workers of a data loader could not even be restored. With
    this hook the augmentation of an image depends on (seed, epoch, place in the order, image), and
    the random numbers of the model on (seed, iteration). The seeds are in the checkpoint, so that a
    run without a ``randomness.seed`` also continues in its own order.

    A run resumes exactly from a checkpoint at the end of an epoch, or with a loop of iterations
    from any checkpoint. docs/reliability.md lists the cases that are not covered.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Seed the loading of data; a resumed run takes the seeds of its checkpoint."""
        loader = runner.train_dataloader
        sampler = getattr(getattr(loader, 'batch_sampler', None), 'sampler', None)
        # all ranks draw the same numbers in the model unless the config says otherwise
        differ = runner.cfg.get('randomness', {}).get('diff_rank_seed', False)
        rank = get_rank() if differ else 0
        seeds = runner.message_hub.runtime_info.get(KEY) or dict(
            run=runner.seed - rank, sampler=getattr(sampler, 'seed', None)
        )
        runner.message_hub.update_info(KEY, seeds)
        self._entropy = (seeds['run'], rank)
        if seeds['sampler'] is not None:
            sampler.seed = seeds['sampler']
        try:
            _check_not_begun(runner.train_loop, loader)
            seed_loading(loader, DATA, seeds['run'], get_rank())
        except (AttributeError, TypeError, RuntimeError) as error:
            print_log(
                f'ExactResumeHook: augmentation will not be the same after a resume: {error}',
                'current',
                logging.WARNING,
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Seed the generators that the model uses in this iteration."""
        seed_generators(MODEL, *self._entropy, runner.iter)


def _check_not_begun(loop: BaseLoop, loader: DataLoader) -> None:
    begun = getattr(getattr(loop, 'dataloader_iterator', None), '_iterator', None)
    if begun is not None and loader.num_workers:
        raise RuntimeError(
            'this version of MMEngine starts the workers of a loop of iterations before its hooks; '
            'num_workers=0 resumes exactly'
        )
