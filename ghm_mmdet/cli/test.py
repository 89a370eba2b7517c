"""Evaluate a checkpoint of a detector."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mmdet.evaluation import DumpDetResults
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

from ghm_mmdet.cli.check_config import check_config
from ghm_mmdet.cli.check_data import check_data, check_trained_classes
from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.cli.command_line import add_config, add_run, add_trust, one_line_errors
from ghm_mmdet.cli.config import ConfigError, add_hook, load_config, set_work_dir
from ghm_mmdet.cli.launch import is_first_of_node, runner, set_launcher
from ghm_mmdet.hooks import BrokenPictureHook
from ghm_mmdet.mm_patches import guard_checkpoints


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tools/test.py`` with the given arguments, by default those of the command line."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        cfg = prepare(args)
        with runner(cfg) as tester:
            if not is_main_process():
                write_no_metrics(tester)
            if args.out:
                tester.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
            tester.test()


def prepare(args: argparse.Namespace) -> Config:
    """The config to test, checked together with its data; nothing is built or written.

    Raises:
        ConfigError, DataError: See the checks.
    """
    guard_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg, ('test',))
    content = check_checkpoint(args.checkpoint, 'checkpoint')
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.out:
        _check_out(args.out)
    if args.show_dir:
        set_show_dir(cfg, args.show_dir)
    set_launcher(cfg, args.launcher, args.local_rank)
    set_work_dir(cfg, args.work_dir)
    add_hook(cfg, BrokenPictureHook)
    if is_first_of_node(cfg):
        check_trained_classes(content, check_data(cfg, ('test',)))
    return cfg


def write_no_metrics(tester: Runner) -> None:
    """Let only the main rank write the file of metrics, which MMEngine writes from all ranks."""
    tester.hooks[:] = [hook for hook in tester.hooks if not isinstance(hook, LoggerHook)]


def set_show_dir(cfg: Config, folder: str) -> None:
    """Draw every image's detections into a folder, relative to the work dir's folder of the run.

    Raises:
        ConfigError: The config has no hook that draws, or pictures would replace existing files.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise ConfigError('--show-dir: the config has no default_hooks.visualization')
    if os.path.isabs(folder) and os.path.exists(folder) and os.listdir(folder):
        raise ConfigError(f'--show-dir {folder}: not empty; name a folder that is new or empty')
    hook.update(draw=True, test_out_dir=folder)


def _check_out(path: str) -> None:
    if not path.endswith(('.pkl', '.pickle')):
        raise ConfigError(f'--out {path}: must end in .pkl or .pickle')
    if os.path.exists(path):
        raise ConfigError(f'--out {path}: exists already; remove it or name another file')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    add_run(parser)
    add_trust(parser)
    parser.add_argument('--out', metavar='FILE.pkl', help='write the detections to a pickle file')
    parser.add_argument(
        '--show-dir',
        help='draw the detections into this folder, below <work dir>/<time of the run> '
        'unless it is absolute',
    )
    return parser
