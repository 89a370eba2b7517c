"""Pictures that cannot be decoded do not end a run, unless there are many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader

from ghm_mmdet.datasets.tolerant_loading import TolerantItems, marked, tolerate_undecodable


@HOOKS.register_module()
class BrokenPictureHook(Hook):
    """Lets training, validation and testing go on after undecodable pictures.

    Training draws others instead. In validation and testing they count as pictures without
    detections. A warning names each, and more than one in a hundred of a data set end the run.
    """

    # before the hook that draws
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._black_pictures = TemporaryDirectory()

    def before_train(self, runner: Runner) -> None:
        """Let the training's data set replace undecodable pictures."""
        self._trained = tolerate_undecodable(runner.train_dataloader.dataset)

    def after_train_epoch(self, runner: Runner) -> None:
        """End the run if all ranks together have met too many undecodable pictures."""
        _pool(self._trained)

    def before_val(self, runner: Runner) -> None:
        """Let the validation replace undecodable pictures, and drop detections in them."""
        self._prepare(runner, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Let the test's data set replace undecodable pictures, and drop detections in them."""
        self._prepare(runner, runner.test_dataloader)

    def _prepare(self, runner: Runner, loader: DataLoader) -> None:
        self._tested = tolerate_undecodable(loader.dataset)
        model = runner.model
        # the wrappers of ranks and of test-time augmentation do not call their own forward
        while hasattr(model, 'module'):
            model = model.module
        self._removable = model.register_forward_hook(_empty)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Sequence[BaseDataElement] | None = None,
    ) -> None:
        """Give the hooks that draw detections a picture that they can read."""
        for sample in marked(outputs):
            picture = Path(self._black_pictures.name, Path(sample.img_path).name)
            black = np.zeros((*sample.ori_shape, 3), np.uint8)
            picture.write_bytes(cv2.imencode('.png', black)[1].tobytes())
            sample.set_metainfo(dict(img_path=str(picture)))

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Remove the hook of the model, and end the run if all ranks together met too many."""
        self._removable.remove()
        _pool(self._tested)

    after_test_epoch = after_val_epoch


def _pool(tolerant: Sequence[TolerantItems]) -> None:
    for each in tolerant:
        each.pool()


def _empty(model: nn.Module, inputs: tuple, outputs: object) -> None:
    """Remove the detections in black pictures; outputs are a list where a detector predicts."""
    if isinstance(outputs, list):
        for sample in marked(outputs):
            sample.pred_instances = sample.pred_instances[:0]
