"""Checks that the losses of this package fit the heads of a config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence

import torch
from mmdet.models.dense_heads import (
    AnchorHead,
    ATSSHead,
    CenterNetUpdateHead,
    DDODHead,
    DETRHead,
    FCOSHead,
    GFLHead,
    SSDHead,
    YOLOFHead,
    YOLOXHead,
)
from mmdet.models.roi_heads.bbox_heads import BBoxHead, SABLHead
from mmdet.registry import MODELS
from torch import nn

from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.config_types import is_a
from ghm_mmdet.heads.ghm_ssd_head import GHMSSDHead
from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.losses.ghm_loss import GHMLoss

DECODED = (
    ATSSHead,
    CenterNetUpdateHead,
    DDODHead,
    FCOSHead,
    GFLHead,
    YOLOFHead,
    YOLOXHead,
)
"""Heads that hand decoded boxes to ``loss_bbox``, whatever the config says."""


def check_head(name: str, kind: type, part: Mapping) -> None:
    """Check that a head accepts its GHM losses, and predicts by sigmoid or softmax like them.

    Args:
        name: Of the part, for messages.
        kind: The head's class.
        part: Its config.

    Raises:
        ConfigError: It does not.
    """
    known = _names_of_ghm(kind)
    for key, loss in harmonized_losses(part).items():
        if known and key == 'loss_cls' and loss['type'] not in known:
            raise ConfigError(
                f'{name}.{key}.type={loss["type"]!r} in a {kind.__name__}, which decides by the '
                f'name whether to sample anchors: must be {" or ".join(sorted(known))}, and '
                'custom_imports must have ghm_mmdet.drop_in'
            )
        if not _takes(kind, key):
            hint = "; use type='GHMSSDHead'" if issubclass(kind, SSDHead) else ''
            raise ConfigError(
                f'{name}: {kind.__name__} takes no {key}, its losses are written into it{hint}'
            )
        if (
            key == 'loss_cls'
            and is_a(loss, MODELS, GHMCLoss)
            and loss.get('use_sigmoid')
            and _predicts_by_softmax(kind, part)
        ):
            raise ConfigError(
                f'{name}.{key}: use_sigmoid=True in a {kind.__name__}, which predicts by softmax; '
                'must be False'
            )
        if key == 'loss_cls':
            _check_class_weight(f'{name}.{key}', loss.get('class_weight'), _num_classes(kind, part))
        if loss.get('sync') and _may_skip(kind, key):
            raise ConfigError(
                f'{name}.{key}: sync=True in a {kind.__name__}, which skips this loss on a rank '
                'without positives, where the others would wait for it; must be False'
            )


def _check_class_weight(name: str, setting: object, classes: int | None) -> None:
    if isinstance(setting, Sequence) and not isinstance(setting, str):
        if classes not in (None, len(setting)):
            raise ConfigError(
                f'{name}.class_weight of {len(setting)} classes: must have {classes}, as the '
                "head's num_classes; give one weight per class, without background"
            )
    elif setting is not None and classes == 1:
        raise ConfigError(f'{name}.class_weight={setting!r} in a head of one class: leave it out')


def _num_classes(kind: type, part: Mapping) -> int | None:
    """The value in the config, or else the default of the first constructor that has one."""
    found = (inspect.signature(each).parameters.get('num_classes') for each in kind.__mro__)
    defaults = (each.default for each in found if each and each.default is not each.empty)
    return part.get('num_classes', next(defaults, None))


def _names_of_ghm(kind: type) -> set[str]:
    """Names of mmdet's GHM-C with which the code of a head's constructors compares."""
    constructors = (vars(each).get('__init__') for each in kind.__mro__)
    codes = (each.__code__ for each in constructors if hasattr(each, '__code__'))
    constants = (each for code in codes for each in code.co_consts)
    nested = (each if isinstance(each, (tuple, frozenset)) else (each,) for each in constants)
    names = (each for group in nested for each in group if isinstance(each, str))
    return {each for each in names if re.fullmatch(r'(\w+\.)?GHMC', each)}


def _may_skip(kind: type, key: str) -> bool:
    """Whether a head does not call a loss on a rank that has no examples for it."""
    if issubclass(kind, (BBoxHead, SABLHead)):
        return True
    if key.startswith('loss_bbox'):
        anchors_own = getattr(kind, 'loss_by_feat_single', None) is AnchorHead.loss_by_feat_single
        return not (anchors_own or issubclass(kind, (DETRHead, GHMSSDHead)))
    return key == 'loss_cls' and issubclass(kind, YOLOXHead)


def regresses_decoded_boxes(kind: type, part: Mapping) -> bool:
    """Whether a head's GHM-R compares decoded boxes, whose gradient norms are all close to 1."""
    boxes = [
        loss
        for key, loss in harmonized_losses(part).items()
        if key.startswith('loss_bbox') and is_a(loss, MODELS, GHMRLoss)
    ]
    if not boxes:
        return False
    return issubclass(kind, DECODED) or bool(part.get('reg_decoded_bbox'))


def harmonized_losses(part: Mapping) -> dict[str, Mapping]:
    """The GHM losses among the arguments of a head, by the argument's name."""
    return {
        key: value
        for key, value in part.items()
        if key.startswith('loss') and is_a(value, MODELS, GHMLoss)
    }


def _takes(kind: type, argument: str) -> bool:
    parameters = inspect.signature(kind).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _predicts_by_softmax(kind: type, part: Mapping) -> bool:
    """Whether a head has a channel for background even if its loss is a sigmoid one.

    Most box heads of two-stage detectors do. Some choose by the loss, so the head is built and
    asked.
    """
    if issubclass(kind, SSDHead):
        return True
    if not issubclass(kind, (BBoxHead, SABLHead)):
        return False
    arguments = {key: value for key, value in part.items() if key not in ('type', '_scope_')}
    # with another sigmoid loss, because the state of a GHM loss cannot be on the meta device
    arguments.update({key: dict(type='SmoothL1Loss') for key in harmonized_losses(part)})
    arguments['loss_cls'] = dict(type='CrossEntropyLoss', use_sigmoid=True)
    # Other faults of the head are reported when the model is built.
    try:
        with torch.device('meta'):
            head = kind(**arguments)
    except Exception:
        return False
    layers = [layer for layer in head.fc_cls.modules() if isinstance(layer, nn.Linear)]
    return any(layer.out_features == head.num_classes + 1 for layer in layers)
