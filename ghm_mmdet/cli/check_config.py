"""Checks of a config before anything is built from it."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS, OPTIM_WRAPPERS
from mmengine._strategy import ColossalAIStrategy, DeepSpeedStrategy
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import STRATEGIES, WEIGHT_INITIALIZERS

from ghm_mmdet.cli.check_head import (
    check_head,
    harmonized_losses,
    regresses_decoded_boxes,
)
from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.cli.config import ConfigError, has_accelerator
from ghm_mmdet.config_types import config_class, is_a
from ghm_mmdet.heads import WholePyramidHead
from ghm_mmdet.losses import GHMCLoss, GHMRLoss, OHEMLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss

LOOP_PARTS = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
"""Parts that a config needs for each loop of the runner; validation may be left out as a whole."""

NEEDED_BY_STRATEGIES = {DeepSpeedStrategy: 'deepspeed', ColossalAIStrategy: 'colossalai'}
"""The packages that MMEngine's strategies look for when they are built."""

MODULES = ('backbone', 'neck', 'head')
"""How the keys of a detector's parts end."""

CHECKED_LOSSES = (GHMLoss, OHEMLoss)
"""Losses that are built to check their arguments, with those derived from them."""


def check_config(cfg: Config, loops: Sequence[str]) -> None:
    """Check that a config has all parts for the given loops, and check its losses.

    Training with GHM-R on decoded boxes is a warning.

    Raises:
        ConfigError: A part is missing or unknown, or a loss of this package has wrong arguments or
            does not fit its head.
    """
    for loop in loops:
        absent = [part for part in LOOP_PARTS[loop] if cfg.get(part) is None]
        if absent and not (loop == 'val' and len(absent) == len(LOOP_PARTS[loop])):
            raise ConfigError(
                f'the config has no {absent[0]}; needed: {", ".join(LOOP_PARTS[loop])}; write '
                'them, or inherit them from a _base_'
            )
    if not isinstance(cfg.get('model'), Mapping):
        raise ConfigError('the config has no model; write it, or inherit it from a _base_')
    for name, part in nested(cfg.model, 'model'):
        _check_module(name, part)
    heads = list(_heads(cfg))
    for head in heads:
        check_head(*head)
    if 'train' in loops:
        _check_code_weights(cfg, heads)
        _warn_of_decoded_boxes(heads)


def check_machine(cfg: Config) -> None:
    """Check that this machine has the GPU and the packages that the config needs.

    Raises:
        ConfigError: One is missing.
    """
    if is_a(cfg.optim_wrapper, OPTIM_WRAPPERS, AmpOptimWrapper) and not has_accelerator():
        raise ConfigError(
            'mixed precision (--amp, AmpOptimWrapper) needs a GPU, and none is visible; leave it '
            'out'
        )
    strategy = cfg.get('strategy')
    for kind, package in NEEDED_BY_STRATEGIES.items():
        if is_a(strategy, STRATEGIES, kind) and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f'strategy.type={strategy["type"]!r}: needs {package}, which is not installed; '
                "install it, or use strategy.type='DDPStrategy'"
            )
    if importlib.util.find_spec('torchvision') is not None:
        return
    for name, part in nested(cfg.model, 'model'):
        if str(part.get('checkpoint')).startswith('torchvision://'):
            raise ConfigError(
                f'{name}.checkpoint={part["checkpoint"]!r}: needs torchvision, which is not '
                f'installed; without these weights: --cfg-options {name}=None'
            )


def check_pretrained(cfg: Config, check: Callable = check_checkpoint) -> None:
    """Check the local checkpoint that the model starts from, or else those of its parts.

    Args:
        cfg: The config.
        check: ``check_checkpoint``, or ``check_file`` to load none.

    Raises:
        ConfigError: One is missing, cut off, or holds more than weights.
    """
    if cfg.get('load_from'):
        remedy = 'download it, see docs/own-data.md, or load_from=None trains without it'
        check(cfg.load_from, 'load_from', remedy)
        return
    for name, part in nested(cfg.model, 'model'):
        path = part.get('checkpoint')
        if isinstance(path, str) and is_a(part, WEIGHT_INITIALIZERS, PretrainedInit):
            check(path, f'{name}.checkpoint', f'download it, or {name}=None trains without it')


def warn_of_random_layers(cfg: Config) -> None:
    """Warn of layers of a backbone that are kept as they are, and are random.

    By frozen_stages=0 a ResNet keeps its first convolution; only -1 trains all of it. norm_eval
    lets BatchNorm divide by the variance of the weights' data, which without weights is 1.
    """
    if cfg.get('load_from'):
        return
    parts = dict(nested(cfg.model, 'model'))
    given = [name for name, part in parts.items() if _has_weights(part.get('init_cfg'))]
    for name, part in parts.items():
        # a teacher gets its weights elsewhere
        trained = name.endswith('backbone') and 'teacher' not in name
        weights = part.get('pretrained') or any(name.startswith(each) for each in given)
        if not trained or weights:
            continue
        frozen, remedies = part.get('frozen_stages'), {}
        first = 0 if is_a(part, MODELS, ResNet) else 1
        if type(frozen) is int and frozen >= first:
            remedies[f'frozen_stages={frozen}'] = 'frozen_stages=-1'
        norm = part.get('norm_cfg') or {}
        norm = norm.get('type', 'BN') if isinstance(norm, Mapping) else norm
        if part.get('norm_eval') and 'BN' in str(norm):
            remedies['norm_eval=True'] = 'norm_eval=False'
        if remedies:
            print_log(
                f'{name}: {", ".join(remedies)} without pretrained weights (no load_from, and no '
                'checkpoint in init_cfg): what is frozen stays random; set '
                f'{", ".join(remedies.values())}, or give weights',
                'current',
                logging.WARNING,
            )


def _has_weights(init_cfg: object) -> bool:
    """Whether an ``init_cfg``, a dict or a list of them, names a checkpoint."""
    return any(part.get('checkpoint') for _, part in nested(init_cfg, 'init_cfg'))


def nested(config: object, name: str) -> Iterator[tuple[str, Mapping]]:
    """Name and content of every dict in a config, outermost first."""
    if isinstance(config, Mapping):
        yield name, config
        for key, value in config.items():
            yield from nested(value, f'{name}.{key}')
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from nested(value, f'{name}[{index}]')


def _heads(cfg: Config) -> Iterator[tuple[str, type, Mapping]]:
    """Name, class and config of every part of the model that has a harmonized loss."""
    for name, part in nested(cfg.model, 'model'):
        if not harmonized_losses(part):
            continue
        kind = config_class(part.get('type'), MODELS)
        if not isinstance(kind, type):
            # WholePyramidHead is a function that names the class of its head
            kind = config_class(part.get('head'), MODELS)
        if isinstance(kind, type):
            yield name, kind, part


def _check_code_weights(cfg: Config, heads: Sequence[tuple[str, type, Mapping]]) -> None:
    """Refuse coordinates of different weight, as in 3D, because GHM-R counts each of them once."""
    if not any(is_a(loss, MODELS, GHMRLoss) for _, _, head in heads for loss in head.values()):
        return
    for name, part in nested(cfg.model, 'model'):
        weights = part.get('code_weight') or ()
        if len({weight for weight in weights if weight > 0}) > 1:
            raise ConfigError(
                f'{name}.code_weight={list(weights)}: GHM-R counts every coordinate once, whatever '
                'its weight; must be 0 or one number for all, or leave GHM-R out'
            )


def _warn_of_decoded_boxes(heads: Sequence[tuple[str, type, Mapping]]) -> None:
    decoded = [name for name, kind, part in heads if regresses_decoded_boxes(kind, part)]
    if decoded:
        print_log(
            f'{", ".join(decoded)}: GHM-R on decoded boxes, where the gradient norm is close to 1 '
            "for nearly every example and harmonizes nothing; keep the head's own box loss, or "
            'regress encoded deltas (reg_decoded_bbox=False) where the head can',
            'current',
            logging.WARNING,
        )


def _check_module(name: str, part: Mapping) -> None:
    for loss in ('loss_cls', 'loss_bbox'):
        value = part.get(loss)
        if not (value is None or isinstance(value, Mapping)):
            raise ConfigError(f'{name}.{loss}={value!r}: must be a dict with the type of a loss')
    key = name.rpartition('.')[2].partition('[')[0]
    kind = part.get('type')
    if not (key.endswith(MODULES) or key.startswith('loss')) or kind is None:
        return
    found = _registered(f'{name}.type', kind)
    if found is WholePyramidHead:
        _registered(f'{name}.head', part.get('head'))
    if key.startswith('loss') and isinstance(found, type) and issubclass(found, CHECKED_LOSSES):
        _check_loss(name, found, part)


def _registered(name: str, kind: object) -> object | None:
    found = config_class(kind, MODELS)
    # A name with a scope belongs to another package, which is imported when the model is built.
    if found is None and '.' not in str(kind):
        close = get_close_matches(str(kind), MODELS.module_dict, n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'import its module in custom_imports'
        raise ConfigError(f'{name}={kind!r}: must be a registered model; {hint}')
    return found


def _check_loss(name: str, kind: type, part: Mapping) -> None:
    """Build a loss of this package, or one derived from it, which checks its arguments."""
    arguments = {key: value for key, value in part.items() if key not in ('type', '_scope_')}
    if issubclass(kind, GHMCLoss) and 'use_sigmoid' not in arguments:
        raise ConfigError(
            f'{name}: use_sigmoid is missing; GHMCLoss needs use_sigmoid=True in the config, where '
            'heads look for it and build softmax outputs without it'
        )
    try:
        loss = kind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f'{name}: {error}; if that is left of the loss of a base config, _delete_=True in '
            f'{name} leaves it out'
        ) from error
    except ValueError as error:
        raise ConfigError(f'{name}: {error}') from error
    if issubclass(kind, OHEMLoss) and loss.use_sigmoid and not arguments.get('use_sigmoid'):
        raise ConfigError(
            f'{name}: use_sigmoid is missing; OHEMLoss needs use_sigmoid=True around a loss with '
            'sigmoid, because heads look for it in the config and build softmax outputs without it'
        )
