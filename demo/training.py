"""The trainings of the demonstration: a config made short, pointed at a user's data, and run."""

from __future__ import annotations

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from demo.coco_folder import CocoFolder

# mmengine's own hooks still call what mmengine has deprecated.
DEPRECATIONS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


class Training(Hook):
    """A training, with COCO's metrics by iteration; there are none where nothing was detected.

    Args:
        runner: Has the model and the validation pictures.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.validations: dict[int, dict[str, float]] = {}
        runner.register_hook(self)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the metrics."""
        self.validations[runner.iter] = metrics or {}

    def metric(self, name: str) -> dict[int, float]:
        """One of the metrics by iteration, in [0, 1]; 0 where nothing was detected."""
        return {at: each.get(f'coco/{name}', 0.0) for at, each in self.validations.items()}


def shorten(cfg: Config, iterations: int, val_interval: int) -> None:
    """Train for so many iterations, whatever the size of the data, and look at the last of them.

    Args:
        cfg: A config of the sample data, changed in place.
        iterations: Training iterations.
        val_interval: Of them, from one validation to the next.
    """
    warmup = iterations // 15
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=val_interval)
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warmup),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, T_max=iterations - warmup),
    ]
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    cfg.custom_hooks = [dict(type='GradientDensityHook', interval=iterations)]
    cfg.log_processor.by_epoch = False


def use_coco_folder(cfg: Config, folder: CocoFolder, val_images: int) -> None:
    """Point a config of the sample data at other data.

    Args:
        cfg: The config, changed in place.
        folder: The data.
        val_images: At most so many validation images are evaluated.
    """
    cfg.model.bbox_head.num_classes = len(folder.classes)
    loaders = ((cfg.train_dataloader, folder.train), (cfg.val_dataloader, folder.val))
    for loader, split in loaders:
        loader.dataset.update(
            data_root=str(folder.root),
            ann_file=split.annotations,
            data_prefix=dict(img=split.images),
            metainfo=dict(classes=folder.classes),
        )
    if folder.val.num_images > val_images:
        cfg.val_dataloader.dataset.indices = val_images
    cfg.test_dataloader = cfg.val_dataloader
    # without a file the metric takes the truth from the images that were really evaluated
    cfg.val_evaluator.ann_file = None
    cfg.val_dataloader.dataset.pipeline[-1].meta_keys += ('instances',)
    cfg.test_evaluator = cfg.val_evaluator


def train(cfg: Config, out_dir: Path) -> Training:
    """Train and evaluate a config's detector.

    Args:
        cfg: The config.
        out_dir: Folder for the checkpoint and the log; made where it is missing.
    """
    cfg.work_dir = str(out_dir)
    # named after its run, or MMEngine would write the second run's into the first one's folder
    cfg.visualizer.pop('name', None)
    cfg.log_level = 'WARNING'  # while it is built: no dump of the config and the environment
    training = Training(Runner.from_cfg(cfg))
    logger = training.runner.logger
    drop_own_deprecations(logger)
    for speaker in (logger, *logger.handlers):
        speaker.setLevel('INFO')
    training.runner.train()
    return training


def drop_own_deprecations(logger: logging.Logger) -> None:
    """Let a logger pass over mmengine's warnings about calls that mmengine itself makes."""
    logger.addFilter(lambda record: not record.getMessage().startswith(DEPRECATIONS))
