"""Train a small RetinaNet with GHM-C and GHM-R on the CPU, evaluate it and draw what it learnt."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.config import Config
from rich.progress import track

from demo.coco_folder import find_coco_folder
from demo.sample import make_sample_dataset
from demo.training import run_demo, use_coco_folder
from ghm_mmdet.cli.command_line import add_debug, one_line_errors

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / 'configs/sample/retinanet_r18_fpn_ghm_sample.py'
ITERATIONS = 1530
VAL_IMAGES = 100


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
    cfg = Config.fromfile(CONFIG)
    with one_line_errors(args.debug):
        if args.data is None:
            make_sample_dataset(cfg.data_root, track=track)
        else:
            use_coco_folder(cfg, find_coco_folder(args.data), ITERATIONS, VAL_IMAGES)
        result = run_demo(cfg, Path(args.out))
    print(f'\nmodel and log   {result.checkpoint_folder}')
    for path in result.figures + result.pictures:
        print(f'picture         {path}')
    seen = ', where nothing was detected' if result.found_nothing else ''
    print(f'COCO mAP        {result.mean_average_precision:.3f} on the validation images{seen}')


if __name__ == '__main__':
    main()
