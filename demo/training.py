"""The demonstration: trains a small detector, evaluates it and draws its results."""

from __future__ import annotations

import copy
import logging
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from demo.coco_folder import CocoFolder
from demo.detections import draw_detections
from demo.figures import save_harmonizing_figure, save_training_figure
from ghm_mmdet.diagnosis.loss_reader import loss_readers
from ghm_mmdet.diagnosis.recorder import LossRecorder

HISTOGRAM_BATCHES = 8
HISTOGRAM_REGIONS = 50
HISTOGRAM_TITLES = {
    'bbox_head.loss_cls': ('Classification: GHM-C', 'g'),
    'bbox_head.loss_bbox': ('Boxes: GHM-R', 'gr'),
}

# mmengine's own hooks still call what mmengine has deprecated.
DEPRECATIONS = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


@dataclass(frozen=True)
class DemoResult:
    """The results of a demonstration.

    Attributes:
        mean_average_precision: COCO mAP on the validation images, in [0, 1].
        found_nothing: Whether the last validation had no detection at all; the mAP is 0 then.
        checkpoint_folder: Where the trained model lies.
        figures: The gradient-norm figures.
        pictures: Images with ground truth and detections.
    """

    mean_average_precision: float
    found_nothing: bool
    checkpoint_folder: Path
    figures: list[Path]
    pictures: list[Path]


class DemoHook(Hook):
    """Keeps the gradient-norm histograms before and after training, and the last metrics."""

    def __init__(self) -> None:
        self.before: dict = {}
        self.after: dict = {}
        self.metrics: dict = {}

    def before_train(self, runner: Runner) -> None:
        """Look at the untrained model."""
        self.before = self._histogram(runner)

    def after_train(self, runner: Runner) -> None:
        """Look at the trained model."""
        self.after = self._histogram(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Keep the metrics."""
        self.metrics = metrics or {}

    @staticmethod
    def _histogram(runner: Runner) -> dict:
        # one of its own: to leave mmengine's infinite sampler half-way ends it for all
        loader = runner.build_dataloader(runner.cfg.train_dataloader, seed=0)
        batches = islice(loader, HISTOGRAM_BATCHES)
        # of a copy, whose batch norms may change
        model = copy.deepcopy(runner.model).train()
        recorder = LossRecorder(loss_readers(model, HISTOGRAM_REGIONS))
        with torch.no_grad(), recorder:
            for batch in batches:
                recorder.start_iteration()
                model(**model.data_preprocessor(batch, training=True), mode='loss')
        records = recorder.records()
        return {name: record.by_region.numpy() for name, record in records.items()}


def use_coco_folder(cfg: Config, folder: CocoFolder, iterations: int, val_images: int) -> None:
    """Point the sample's config at other data, for as many iterations as the sample takes.

    Args:
        cfg: The sample's config, changed in place.
        folder: The data.
        iterations: Training iterations, whatever the size of the data.
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
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    if folder.val.num_images > val_images:
        cfg.val_dataloader.dataset.indices = val_images
    cfg.test_dataloader = cfg.val_dataloader
    # without a file the metric takes the truth from the images that were really evaluated
    cfg.val_evaluator.ann_file = None
    cfg.val_dataloader.dataset.pipeline[-1].meta_keys += ('instances',)
    cfg.test_evaluator = cfg.val_evaluator
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
    warmup = iterations // 15
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warmup),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=warmup, T_max=iterations - warmup),
    ]
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=iterations)
    cfg.log_processor.by_epoch = False


def run_demo(cfg: Config, out_dir: Path, pictures: int = 6) -> DemoResult:
    """Train and evaluate the config's detector and draw the pictures.

    Args:
        cfg: A config with GHM-C and GHM-R losses.
        out_dir: Folder for the checkpoint, the log and the pictures; made where it is missing.
        pictures: Number of validation images to draw.
    """
    cfg.work_dir = str(out_dir)
    cfg.log_level = 'WARNING'  # while it is built: no dump of the config and the environment
    hook = DemoHook()
    runner = Runner.from_cfg(cfg)
    drop_own_deprecations(runner.logger)
    for speaker in (runner.logger, *runner.logger.handlers):
        speaker.setLevel('INFO')
    runner.register_hook(hook)
    runner.train()

    drawings = out_dir / 'detections'
    os.makedirs(drawings, exist_ok=True)
    figures = [out_dir / 'gradient_norm.png', out_dir / 'harmonizing.png']
    save_training_figure(figures[0], hook.before, hook.after, HISTOGRAM_TITLES)
    save_harmonizing_figure(figures[1], hook.after['bbox_head.loss_cls'])
    return DemoResult(
        # CocoMetric has no mAP where there are no detections
        mean_average_precision=hook.metrics.get('coco/bbox_mAP', 0.0),
        found_nothing='coco/bbox_mAP' not in hook.metrics,
        checkpoint_folder=out_dir,
        figures=figures,
        pictures=draw_detections(runner.model, runner.val_dataloader, drawings, pictures),
    )


def drop_own_deprecations(logger: logging.Logger) -> None:
    """Let a logger pass over mmengine's warnings about calls that mmengine itself makes."""
    logger.addFilter(lambda record: not record.getMessage().startswith(DEPRECATIONS))
