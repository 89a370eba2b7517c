"""A data set for the analysis: every picture once, as in a test, with its annotations."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

from mmcv.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.config_types import is_a
from ghm_mmdet.datasets.check import leaf_datasets
from ghm_mmdet.datasets.tolerant_loading import tolerate_undecodable

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
SPLITS = ('train', 'val', 'test')


def annotated_loader(cfg: Config, split: str, images: int | None = None) -> DataLoader:
    """The pictures of a split, resized as in testing and not augmented, boxes resized with them.

    Args:
        cfg: A config with a test pipeline.
        split: 'train', 'val' or 'test'.
        images: At most so many, the first of each data set; None for all.

    Raises:
        ConfigError: The config has no such data set, or no data set with a test pipeline.
    """
    loader = deepcopy(_loader(cfg, split))
    pipeline = _pipeline(cfg, loader)
    leaves = []
    for _, leaf in leaf_datasets(loader['dataset'], 'dataset'):
        leaf.update(pipeline=pipeline, test_mode=True)
        if images is not None:
            leaf['indices'] = images
        leaves.append(leaf)
    dataset = leaves[0] if len(leaves) == 1 else dict(type='ConcatDataset', datasets=leaves)
    workers = loader.get('num_workers', 0)
    built = Runner.build_dataloader(
        dict(
            batch_size=_loader(cfg, 'val' if cfg.get('val_dataloader') else split)['batch_size'],
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            dataset=dataset,
        )
    )
    tolerate_undecodable(built.dataset)
    return built


def _loader(cfg: Config, split: str) -> Mapping:
    loader = cfg.get(f'{split}_dataloader')
    if not isinstance(loader, Mapping) or not isinstance(loader.get('dataset'), Mapping):
        present = [each for each in SPLITS if cfg.get(f'{each}_dataloader')]
        raise ConfigError(f'--split {split}: the config has {", ".join(present) or "none"}')
    return loader


def _pipeline(cfg: Config, loader: Mapping) -> list[dict]:
    """The test pipeline with the annotations read first, so that boxes are resized too."""
    tested = [each for each in ('test', 'val') if cfg.get(f'{each}_dataloader')]
    if not tested:
        raise ConfigError(
            'the config has no test_dataloader and no val_dataloader; the pictures are loaded as '
            'in testing, so write one, or inherit it from a _base_'
        )
    (_, leaf), *_ = leaf_datasets(_loader(cfg, tested[0])['dataset'], 'dataset')
    (_, own), *_ = leaf_datasets(loader['dataset'], 'dataset')
    rest = [step for step in leaf['pipeline'] if not is_a(step, TRANSFORMS, LoadAnnotations)]
    load, *rest = deepcopy(rest)
    annotations = dict(type='LoadAnnotations', with_bbox=True)
    for step in own.get('pipeline', ()):
        if is_a(step, TRANSFORMS, LoadAnnotations):
            annotations = deepcopy(step)
    rest[-1]['meta_keys'] = META_KEYS
    return [load, annotations, *rest]
