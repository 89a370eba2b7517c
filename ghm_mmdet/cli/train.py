"""Train a detector."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmengine.config import Config

from ghm_mmdet.cli.check_config import (
    check_config,
    check_machine,
    check_pretrained,
    warn_of_random_layers,
)
from ghm_mmdet.cli.check_data import check_data
from ghm_mmdet.cli.checkpoint import check_checkpoint, set_resume
from ghm_mmdet.cli.command_line import add_config, add_run, add_trust, one_line_errors
from ghm_mmdet.cli.config import (
    load_config,
    set_amp,
    set_auto_scale_lr,
    set_reliable_hooks,
    set_work_dir,
)
from ghm_mmdet.cli.launch import is_first_of_node, runner, set_launcher
from ghm_mmdet.mm_patches import guard_checkpoints


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tools/train.py`` with the given arguments, by default those of the command line."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        cfg = prepare(args)
        with runner(cfg) as trainer:
            trainer.train()


def prepare(args: argparse.Namespace) -> Config:
    """The config to train, checked together with its data; nothing is built or written.

    Raises:
        ConfigError, DataError: See the checks.
    """
    guard_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg, ('train', 'val'))
    if args.amp:
        set_amp(cfg)
    check_machine(cfg)
    set_reliable_hooks(cfg)
    if args.auto_scale_lr:
        set_auto_scale_lr(cfg)
    set_launcher(cfg, args.launcher, args.local_rank)
    set_work_dir(cfg, args.work_dir)
    if args.resume or cfg.get('resume'):
        set_resume(cfg, args.resume or cfg.get('load_from') or 'auto')
    if args.resume and cfg.resume:
        check_checkpoint(cfg.load_from, '--resume')
    else:
        check_pretrained(cfg)
        warn_of_random_layers(cfg)
    if is_first_of_node(cfg):
        check_data(cfg, ('train', 'val'))
    return cfg


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    add_run(parser)
    add_trust(parser)
    parser.add_argument('--amp', action='store_true', help='mixed precision (needs a GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size to the real batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue a run: from the last checkpoint of the work dir, or from the given one',
    )
    return parser
