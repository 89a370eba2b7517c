"""A detector with the weights of a checkpoint, all of which have to fit."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import nn

from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.density import UnitRegionDensity
from ghm_mmdet.method.median_error import MedianError

NAMED = 3  # keys in a message


def build_detector(cfg: Config, config: str) -> nn.Module:
    """The model of a config, with new weights.

    Raises:
        ConfigError: A part of it does not take its arguments; the message names ``config``.
    """
    try:
        return MODELS.build(cfg.model)
    except TypeError as error:
        raise ConfigError(
            f'{config}: the model cannot be built: {error}; correct that argument, --debug shows '
            'where it is taken'
        ) from error


def load_weights(model: nn.Module, path: str, config: str) -> Mapping:
    """Load a checkpoint that has every weight of the model; names what else it has on stderr.

    Buffers of losses, such as GHM's moving averages, may be missing: a detector that was trained
    with another loss has none.

    Args:
        model: Changed in place.
        path: A file or an address.
        config: The model's file, for the message.

    Returns:
        The content of the checkpoint.

    Raises:
        ConfigError: A weight is missing or has another shape.
    """
    content = CheckpointLoader.load_checkpoint(path, map_location='cpu', logger='silent')
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else {}
    own = model.state_dict()
    state, misshapen = {}, {}
    for key, value in weights.items() if isinstance(weights, Mapping) else ():
        key = re.sub(r'^module\.', '', str(key))
        if key in own and getattr(value, 'shape', None) != own[key].shape:
            misshapen[key] = getattr(value, 'shape', ())
        else:
            state[key] = value
    if hasattr(weights, '_metadata'):  # modules convert the weights of their older versions
        state = type(weights)(state)
        state._metadata = weights._metadata
    missing, unexpected = model.load_state_dict(state, strict=False)
    spared = _spared(model)
    missing = [key for key in missing if key not in spared]
    if missing:
        needed = len(own.keys() - spared)
        what = (
            f'{key} is {tuple(misshapen[key])}, not {tuple(own[key].shape)}'
            if key in misshapen
            else f'{key} is missing'
            for key in missing
        )
        raise ConfigError(
            f'CHECKPOINT {path}: {needed - len(missing)} of {needed} weights fit the model of '
            f'{config}; {_first(what, len(missing))}; name a checkpoint of this config'
        )
    unexpected = [key for key in unexpected if not _is_of_loss(key)]
    if unexpected:
        print(
            f'CHECKPOINT {path}: has weights that the model of {config} does not: '
            f'{_first(unexpected, len(unexpected))}',
            file=sys.stderr,
        )
    return content


def _spared(model: nn.Module) -> set[str]:
    """Names of the saved buffers that need not be there: of losses, and of newer batch norms."""
    kinds = (GHMLoss, UnitRegionDensity, MedianError)
    # a module that has two names is saved by both
    modules = model.named_modules(remove_duplicate=False)
    losses = tuple(f'{name}.' for name, each in modules if isinstance(each, kinds))
    return {
        name
        for name, _ in model.named_buffers(remove_duplicate=False)
        if _is_of_loss(name) or name.startswith(losses) or name.endswith('num_batches_tracked')
    }


def _is_of_loss(key: str) -> bool:
    """Whether a key is of a loss by the name that MMDetection's heads give it."""
    return any(part.startswith('loss') for part in key.split('.'))


def _first(keys: Iterable[str], count: int) -> str:
    named = [key for key, _ in zip(keys, range(NAMED))]
    return ', '.join(named) + (f' and {count - NAMED} more' if count > NAMED else '')
