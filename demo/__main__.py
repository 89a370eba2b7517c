"""Train a small RetinaNet with focal loss and with GHM-C on the CPU, and compare the two."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from rich.progress import track

from demo.coco_folder import find_coco_folder
from demo.figures import save_curves, save_detections
from demo.sample import make_sample_dataset
from demo.training import Training, shorten, train, use_coco_folder
from ghm_mmdet.cli.command_line import add_debug, one_line_errors

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/sample/retinanet_r18_fpn_{}_sample.py'
RUNS = {'focal loss': 'focal-small-data', 'GHM-C': 'ghmc-small-data-no-prior'}
"""Names of configs, by the loss as figures colour it."""
ITERATIONS, VAL_INTERVAL = 900, 150
VAL_IMAGES = 100
PICTURES = 3
DENSITY = 'gradient_density*.png'
WHAT = """
A quick look, for a CPU: a RetinaNet with a ResNet-18 at a quarter of its width is trained from
scratch on pictures scaled to {} pixels, first with focal loss and then with GHM-C."""
CAVEAT = """
One seed in a short schedule is a quick look and not a measurement; docs/results.md has those.
On data of your own go on with ghm_mmdet::ghm/retinanet_r50_fpn_ghmc-small-data.py, by
docs/own-data.md."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m demo', description=__doc__)
    parser.add_argument(
        '--data',
        help='COCO-format folder with annotations/*train*.json and *val*.json, or as Roboflow '
        'exports it; the sample data set is made where this is not given',
    )
    parser.add_argument(
        '--out', default='work_dirs/demo', help='folder for the results (default: %(default)s)'
    )
    add_debug(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    configs = {name: Config.fromfile(ROOT / CONFIG.format(run)) for name, run in RUNS.items()}
    with one_line_errors(args.debug):
        first, *_ = configs.values()
        if args.data is None:
            make_sample_dataset(first.data_root, track=track)
        folder = args.data and find_coco_folder(args.data)
        for cfg in configs.values():
            shorten(cfg, ITERATIONS, VAL_INTERVAL)
            if folder:
                use_coco_folder(cfg, folder, VAL_IMAGES)
        print(WHAT.format(max(first.scale)))
        compare(configs, Path(args.out))


def compare(configs: Mapping[str, Config], out_dir: Path) -> None:
    """Train each config, draw the results, and print the files and the last metrics.

    Args:
        configs: By a name of ``RUNS``.
        out_dir: Folder for the results; made where it is missing.
    """
    trainings = {}
    for name, cfg in configs.items():
        print(f'\n{name}')
        trainings[name] = train(cfg, out_dir / RUNS[name])
    curves, detections = out_dir / 'map.png', out_dir / 'detections.png'
    save_curves(curves, {name: each.metric('bbox_mAP') for name, each in trainings.items()})
    runners = {name: each.runner for name, each in trainings.items()}
    save_detections(detections, runners, PICTURES)
    densities = [path for each in runners.values() for path in Path(each.log_dir).rglob(DENSITY)]
    print()
    for each in runners.values():
        print(f'model and log   {each.work_dir}')
    for path in (curves, detections, *densities):
        print(f'picture         {path}')
    print('\nCOCO metrics on the validation pictures, from 0 to 1:')
    for name, each in trainings.items():
        print(f'{name:12}{scores(each)}')
    print(CAVEAT)


def scores(training: Training) -> str:
    """The metrics of the last validation, in words."""
    last = {name: list(training.metric(name).values())[-1] for name in ('bbox_mAP', 'bbox_mAP_50')}
    numbers = 'mAP {bbox_mAP:.3f}   AP50 {bbox_mAP_50:.3f}'.format(**last)
    nothing = not list(training.validations.values())[-1]
    return numbers + ', where nothing was detected' * nothing


if __name__ == '__main__':
    main()
