"""Show how hard each loss of a one-stage detector pulls at the features that its branches share.

The L2 norm of each loss's gradient at the neck's outputs, the mean over training batches, and its
ratio to that of the box loss.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import islice

from mmdet.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from mmengine.utils import track_iter_progress

from ghm_mmdet.cli.check_config import check_config, check_data
from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.cli.command_line import add_config, add_trust, one_line_errors
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.diagnosis.loss_balance import loss_gradient_norms
from ghm_mmdet.mm_patches import guard_checkpoints


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the arguments name, by default those of the command line."""
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
    init_default_scope('mmdet')
    # building and initialising say a page about each layer otherwise
    MMLogger.get_instance('loss_balance', log_level='ERROR')
    set_random_seed(0)
    model = MODELS.build(cfg.model)
    if args.checkpoint:
        load_checkpoint(model, args.checkpoint, map_location='cpu')
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


if __name__ == '__main__':
    main()
