"""Whole training steps of RetinaNet with GHM, focal loss and mmdet's GHM; only the losses differ.

python -m benchmarks.training_step [--device cuda] [--backend triton] [--quick] [--results FOLDER]
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.structures import InstanceData
from torch import Tensor, nn

import ghm_mmdet  # noqa: F401
from benchmarks.command_line import Options, read_options
from benchmarks.contestants import InFloat32, MMDetPythonFocal, attempt
from benchmarks.measure import interleaved
from benchmarks.table import Row, print_rows, written
from ghm_mmdet.diagnosis.density_probe import DensityProbe
from ghm_mmdet.diagnosis.loss_reader import LossReader, harmonized_readers
from ghm_mmdet.diagnosis.style import rendered

CONFIGS = Path(__file__).parents[1] / 'configs' / 'ghm'
LEVELS, PYRAMID = 'retinanet_r50_fpn_ghm-1x_coco.py', 'retinanet_r50_fpn_ghm-pyramid-1x_coco.py'
FOCAL = {
    'loss_cls': dict(type='FocalLoss', use_sigmoid=True),
    'loss_bbox': dict(type='L1Loss'),
}
MMDET_GHM = {
    'loss_cls': dict(type='GHMC', use_sigmoid=True, bins=30, momentum=0.75),
    'loss_bbox': dict(type='GHMR', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0),
}
UNIT = 'GHM whole pyramid'
BOXES_PER_IMAGE = 8
# So small that no weights grow out of range, however many steps are measured.
LEARNING_RATE = 1e-6
# Steps differ by a few percent, and on a CPU one of them takes a second.
LONGER = 3
# A fixed scale: a step that is skipped because a large scale overflowed would be too cheap.
LOSS_SCALE = 128.0


class Setting(NamedTuple):
    """The detector and the batch of a step.

    Attributes:
        depth: Of the ResNet.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        images: In a step.
        amp: Whether in mixed precision, float16.
    """

    depth: int
    height: int
    width: int
    images: int
    amp: bool

    def __str__(self) -> str:
        size = f'{self.images} of {self.height} x {self.width}'
        return f'RetinaNet R-{self.depth}, {size}' + (', AMP' if self.amp else '')


SETTINGS = {'cpu': Setting(18, 320, 320, 1, False), 'cuda': Setting(50, 800, 1333, 2, True)}
QUICK = {'cpu': Setting(18, 64, 64, 1, False), 'cuda': Setting(18, 64, 64, 1, True)}


def make_data(setting: Setting, device: torch.device) -> dict[str, list]:
    """Random images and boxes, as a data loader hands them over, already on the device."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([setting.width, setting.height])
    images, samples = [], []
    for _ in range(setting.images):
        shape = (3, setting.height, setting.width)
        image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        corner, far = torch.rand(2, BOXES_PER_IMAGE, 2, generator=generator)
        extent = size * (0.05 + 0.45 * far)
        corner = corner * (size - extent)
        labels = torch.randint(0, 80, (BOXES_PER_IMAGE,), generator=generator)
        sample = DetDataSample(metainfo=dict(img_shape=shape[1:], ori_shape=shape[1:]))
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + extent], dim=1).to(device), labels=labels.to(device)
        )
        images.append(image.to(device))
        samples.append(sample)
    return {'inputs': images, 'data_samples': samples}


def make_model(
    setting: Setting, config: str, losses: dict[str, dict], device: torch.device
) -> nn.Module:
    """A detector of random weights, the same ones in each call."""
    cfg = Config.fromfile(CONFIGS / config)
    cfg.model.backbone.update(depth=setting.depth, init_cfg=None)
    for name, loss in losses.items():
        cfg.model.bbox_head[name] = loss
    if setting.depth <= 34:
        cfg.model.neck.in_channels = [64, 128, 256, 512]
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.to(device).train()


class Step:
    """A training step: preprocessing, forward and backward pass, optimizer.

    Args:
        setting: Of the detector and the batch.
        device: Of the step.
        config: File in configs/ghm/.
        losses: Replace the losses of that config.
        change: Is called with the head once it is built.
    """

    def __init__(
        self,
        setting: Setting,
        device: torch.device,
        config: str,
        losses: dict[str, dict],
        change: Callable[[nn.Module], None] = lambda head: None,
    ) -> None:
        self._model = make_model(setting, config, losses, device)
        change(self._model.bbox_head)
        self._data = make_data(setting, device)
        optimizer = torch.optim.SGD(
            self._model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4
        )
        arguments = dict(optimizer=optimizer, clip_grad=dict(max_norm=35, norm_type=2))
        if setting.amp:
            self._wrapper = AmpOptimWrapper(dict(init_scale=LOSS_SCALE), 'float16', **arguments)
        else:
            self._wrapper = OptimWrapper(**arguments)

    def __call__(self) -> dict[str, Tensor]:
        return self._model.train_step(self._data, self._wrapper)

    def check(self) -> Step:
        """Take a step and return itself.

        Raises:
            ArithmeticError: The loss is not finite, or its scaled gradient overflows, so that the
                optimizer does nothing and this is not a real step.
        """
        loss = self()['loss'].item()
        if not math.isfinite(loss):
            raise ArithmeticError(f'the loss is {loss}')
        if getattr(self._wrapper, 'loss_scaler', None) is not None:
            scale = self._wrapper.loss_scaler.get_scale()
            if scale < LOSS_SCALE:
                raise ArithmeticError(f'gradients overflowed, the loss scale fell to {scale}')
        return self


class WatchedStep(Step):
    """A step in which ``GradientDensityHook`` looks, without the drawing."""

    def __call__(self) -> dict[str, Tensor]:
        probe = DensityProbe(self._model)
        with probe:
            losses = super().__call__()
        self.seen = probe.result()
        return losses


class DrawnStep(WatchedStep):
    """The same with the drawing of a figure for each loss."""

    def __call__(self) -> dict[str, Tensor]:
        losses = super().__call__()
        for each in self.seen:
            rendered(each.figure(iteration=1))
        return losses


class HookPass(Step):
    """Only the additional part of such a step: the hook's pass over a step's examples."""

    def check(self) -> Step:
        """Take a step whose calls are kept, and return itself."""
        self._calls = []
        readers = harmonized_readers(self._model).values()
        handles = [
            each.loss.register_forward_hook(partial(self._keep, each), with_kwargs=True)
            for each in readers
        ]
        Step.__call__(self)
        for handle in handles:
            handle.remove()
        return self

    def _keep(
        self,
        reader: LossReader,
        loss: nn.Module,
        arguments: tuple,
        keywords: dict,
        output: object,
    ) -> None:
        self._calls.append((reader, arguments, keywords))

    def __call__(self) -> None:
        for reader, arguments, keywords in self._calls:
            reader.read(arguments, keywords)


def in_float32(head: nn.Module) -> None:
    head.loss_cls, head.loss_bbox = InFloat32(head.loss_cls), InFloat32(head.loss_bbox)


def python_focal(head: nn.Module) -> None:
    head.loss_cls = MMDetPythonFocal()


WATCHED = {
    'GHM, watched by the hook': WatchedStep,
    'and drawn': DrawnStep,
    "the hook's pass alone": HookPass,
}


def contestants(setting: Setting, device: torch.device) -> Iterator[tuple[str, Step]]:
    """Names and steps; if there are several ways to run one, the first that works."""
    for ways in (
        [(UNIT, PYRAMID, {})],
        [('GHM per level', LEVELS, {})],
        [('focal + L1', LEVELS, FOCAL), ('focal (PyTorch) + L1', LEVELS, FOCAL, python_focal)],
        [
            ('mmdet GHM', LEVELS, MMDET_GHM),
            ('mmdet GHM (losses in float32)', LEVELS, MMDET_GHM, in_float32),
        ],
    ):
        for name, *arguments in ways:
            step = attempt(name, lambda more=arguments: Step(setting, device, *more).check())
            if step is not None:
                yield name, step
                break
    for name, kind in WATCHED.items():
        step = attempt(name, lambda kind=kind: kind(setting, device, PYRAMID, {}).check())
        if step is not None:
            yield name, step


def run(options: Options) -> list[Row]:
    device = options.machine.device
    setting = (QUICK if options.quick else SETTINGS)[device.type]
    steps = dict(contestants(setting, device))
    effort = options.machine.effort
    effort = effort._replace(seconds=LONGER * effort.seconds)
    costs = interleaved(steps, device, effort, str(setting))
    costs = {name: cost for name, cost in costs.items() if attempt(name, steps[name].check)}
    unit = costs[UNIT].median if UNIT in costs else None
    rows = [
        Row(
            **options.machine.description,
            operation='training step',
            input=str(setting),
            dtype='float16' if setting.amp else 'float32',
            examples=None,
            contestant=name,
            bins=None,
            milliseconds=cost.median * 1000,
            ratio=cost.median / unit if unit else None,
            spread=cost.spread,
            runs=len(cost.seconds),
            memory=None,
            peak_mib=None if cost.bytes is None else cost.bytes / 2**20,
        )
        for name, cost in costs.items()
    ]
    print_rows(rows)
    return rows


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # init_weights tells of every tensor
    options = read_options(__doc__, arguments)
    return written(run(options), options.results)


if __name__ == '__main__':
    main()
