"""Show the gradient of each loss of a one-stage detector at the features that its branches share.

Prints the L2 norm of each loss's gradient at the neck's outputs, averaged over training batches,
and its ratio to that of the box loss.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from mmengine.logging import MMLogger
from mmengine.runner import Runner, set_random_seed
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.check_data import check_data
from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.cli.command_line import add_config, add_trust, one_line_errors
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.cli.detector import build_detector, load_weights
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.method.median_error import MedianError
from ghm_mmdet.mm_patches import guard_checkpoints


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool with the given arguments, by default those of the command line."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        norms = _measure(args)
    box = norms.get('loss_bbox')
    for name, norm in norms.items():
        print(f'{name:<20}{norm:10.4f}' + (f'{norm / box:10.2f} x loss_bbox' if box else ''))


def _measure(args: argparse.Namespace) -> dict[str, float]:
    guard_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg, ('train',))
    check_data(cfg, ('train',))
    if 'bbox_head' not in cfg.model:
        raise ConfigError('model.bbox_head is missing: only one-stage detectors are measured')
    if args.checkpoint:
        check_checkpoint(args.checkpoint, 'CHECKPOINT')
    # otherwise building and initialising print a page about the layers
    MMLogger.get_instance('loss_balance', log_level='ERROR')
    set_random_seed(0)
    model = build_detector(cfg, args.config)
    if args.checkpoint:
        load_weights(model, args.checkpoint, args.config)
    else:
        model.init_weights()
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    batches = islice(loader, args.batches), min(args.batches, len(loader))
    return loss_gradient_norms(model, track_iter_progress(batches, file=sys.stderr))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    add_trust(parser)
    parser.add_argument(
        'checkpoint', nargs='?', help='weights to measure with; default: freshly initialised'
    )
    parser.add_argument('--batches', type=int, default=10, help='training batches, default 10')
    return parser


def loss_gradient_norms(model: nn.Module, batches: Iterable[dict]) -> dict[str, float]:
    """L2 norm of each loss's gradient at the neck's outputs, averaged over the batches.

    This is the balance of classification and boxes. If another loss replaces the head's own, its
    loss weight has to keep this balance. GHM losses are computed without a moving average, whose
    start at zero would make them too large.

    Args:
        model: A one-stage mmdet detector, with ``backbone``, ``neck`` and ``bbox_head``. It is
            copied.
        batches: Of its training dataloader.

    Returns:
        Norm by the name of the loss.
    """
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, GHMLoss):
            module.density.momentum = 0  # the counts of the batch itself
        if isinstance(module, MedianError):
            module.momentum = 0
    norms: dict[str, list[float]] = {}
    for batch in batches:
        data = model.data_preprocessor(batch, training=True)
        with torch.no_grad():
            features = model.extract_feat(data['inputs'])
        features = tuple(feature.detach().requires_grad_() for feature in features)
        for name, loss in model.bbox_head.loss(features, data['data_samples']).items():
            if 'loss' in name:
                norms.setdefault(name, []).append(_gradient_norm(loss, features))
    return {name: sum(values) / len(values) for name, values in norms.items()}


def _gradient_norm(loss: Tensor | list[Tensor], features: tuple[Tensor, ...]) -> float:
    total = loss.mean() if isinstance(loss, Tensor) else sum(part.mean() for part in loss)
    gradients = torch.autograd.grad(total, features, retain_graph=True, allow_unused=True)
    squares = [gradient.square().sum() for gradient in gradients if gradient is not None]
    return float(sum(squares)) ** 0.5


if __name__ == '__main__':
    main()
