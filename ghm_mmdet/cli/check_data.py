"""Checks of the data of a config, and of its heads and checkpoint against the data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from mmengine.config import Config
from mmengine.logging import print_log

from ghm_mmdet.cli.check_config import nested
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.datasets.check import read_data
from ghm_mmdet.datasets.pictures import warn_of_sizes
from ghm_mmdet.datasets.splits import Split


def check_data(cfg: Config, loops: Sequence[str]) -> list[Split]:
    """Check the data sets and metrics of the given loops, and that the heads have their classes.

    Legal but surprising data is logged as a warning.

    Returns:
        The data sets that could be read.

    Raises:
        DataError: A data set cannot be used as configured.
        ConfigError: A head has another number of classes than the data.
    """
    reading = read_data(cfg, loops)
    for split in reading.splits:
        warn_of_sizes(split, reading.findings)
    for warning in reading.findings.warnings:
        print_log(warning, 'current', logging.WARNING)
    reading.findings.raise_error()
    check_num_classes(cfg, reading.splits)
    return reading.splits


def check_trained_classes(content: object, splits: Sequence[Split]) -> None:
    """Check that a checkpoint's labels are those of the data sets that it predicts on.

    Other names at the same labels are logged as a warning.

    Args:
        content: Of the checkpoint; MMEngine notes the classes of the training data in it.
        splits: The data sets.

    Raises:
        ConfigError: It was trained with the same classes in another order.
    """
    meta = content.get('meta') if isinstance(content, Mapping) else None
    noted = (meta or {}).get('dataset_meta')
    # mmdet stores a list if joined data sets differ
    noted = noted[0] if isinstance(noted, list) and noted else noted
    trained = (noted.get('classes') if isinstance(noted, Mapping) else None) or ()
    for split in splits:
        if len(trained) != len(split.classes) or tuple(trained) == split.classes:
            continue
        pairs = zip(trained, split.classes)
        label, (was, now) = next((k, pair) for k, pair in enumerate(pairs) if len({*pair}) > 1)
        fault = (
            f'{split.name}.metainfo.classes: label {label} is {now!r}, and {was!r} in checkpoint'
        )
        if {*trained} == {*split.classes}:
            raise ConfigError(
                f'{fault}; must be in the order in which it was trained, {list(trained)}: sort the '
                f"list 'categories' of {split.table.path} so, ids may stay, and the classes"
            )
        print_log(f'{fault}; is it the same class?', 'current', logging.WARNING)


def check_num_classes(cfg: Config, splits: Sequence[Split]) -> None:
    """Check that each head has as many classes as each data set.

    Raises:
        ConfigError: The numbers differ.
    """
    heads = [
        (name, part)
        for name, part in nested(cfg.model, 'model')
        if name.rpartition('.')[2].partition('[')[0] in ('bbox_head', 'mask_head')
    ]
    for split in splits:
        if not split.has_labels:
            continue
        needed = len(split.classes)
        for name, part in heads:
            if part.get('num_classes', needed) != needed:
                raise ConfigError(
                    f'{name}.num_classes={part["num_classes"]}: must be {needed}, the number of '
                    f'classes of {split.name}; set one of the two'
                )
