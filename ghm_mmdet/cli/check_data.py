"""Read the data sets of a config, or annotation files, and say what is wrong or surprising in them.

Exit code 0 where nothing is, 1 with warnings, 2 with errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track

from ghm_mmdet.cli.check_config import check_num_classes
from ghm_mmdet.cli.command_line import ConfigOptions, add_debug
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.cli.data_report import print_json, print_report
from ghm_mmdet.datasets.check import LOOPS, DataReading, read_data
from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.datasets.metrics import check_metric
from ghm_mmdet.datasets.pictures import Progress, look_at_pictures, warn_of_sizes
from ghm_mmdet.datasets.splits import compare_splits

WARNED, FAILED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``tools/check_data.py``, by default with the arguments of the command line.

    Returns:
        The exit code.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    if bool(args.config) == bool(args.ann):
        parser.error('name a config, or --ann FILE with --images FOLDER')
    try:
        with Console(stderr=True).status('reading the annotation files'):
            reading = _read(args)
    except (ConfigError, DataError) as error:
        if args.debug:
            raise
        reading = DataReading()
        reading.findings.error(str(error))
    splits, findings = reading.splits, reading.findings
    for split in splits:
        if args.pictures or args.decode:
            look_at_pictures(split, args.decode, findings, _shown(split.name))
        else:
            warn_of_sizes(split, findings)
    (print_json if args.json else print_report)(splits, findings)
    return FAILED if findings.errors else WARNED if findings.warnings else 0


def _read(args: argparse.Namespace) -> DataReading:
    if args.ann:
        return read_files(args.ann, args.images)
    MMLogger.get_instance('check_data', log_level='ERROR')
    cfg = load_config(args.config, args.cfg_options)
    reading = read_data(cfg, LOOPS)
    try:
        check_num_classes(cfg, reading.splits)
    except ConfigError as error:
        reading.findings.error(str(error))
    return reading


def read_files(files: Sequence[str], folders: Sequence[str]) -> DataReading:
    """Read annotation files without a config, each as one to train on and to be judged by.

    Args:
        files: Annotation files, the one to train on first.
        folders: Of their pictures: one for each, or one for all.

    Raises:
        ConfigError: Neither as many folders as files, nor one.
    """
    if len(folders) not in (1, len(files)):
        raise ConfigError(
            f'--images: {len(folders)} folders for {len(files)} files; name one, or one for each'
        )
    reading = DataReading()
    for index, path in enumerate(files):
        folder = folders[index] if len(folders) > 1 else folders[0]
        table = reading.table(path)
        if table is None or not table.category_ids:
            if table is not None:
                reading.findings.error(f'{path}: lists no categories; export it with them')
            continue
        dataset = dict(
            type='mmdet.CocoDataset',
            ann_file=path,
            data_prefix=dict(img=folder),
            metainfo=dict(classes=list(table.category_ids)),
            pipeline=[dict(type='mmcv.LoadImageFromFile')],
        )
        split = reading.read_dataset(dataset, path, 'train')
        if split is None:
            continue
        reading.splits.append(split)
        if split.table.is_labelled:
            metric = dict(type='mmdet.CocoMetric', ann_file=path)
            check_metric(metric, 'metric', [split], reading.table, reading.findings)
        else:
            reading.findings.warn(
                f"{path}: has no list 'annotations'; it can be predicted on, and neither trained "
                'on nor judged by'
            )
    compare_splits(reading.splits, reading.splits[:1], reading.findings)
    return reading


def _shown(name: str) -> Progress:
    """Shows on stderr how far the look at the pictures of a data set is."""
    console = Console(stderr=True)

    def progress(steps: Iterable, total: int) -> Iterable:
        return track(steps, f'{name}:', total, console=console)

    return progress


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    parser.add_argument(
        '--ann',
        nargs='+',
        metavar='FILE',
        help='annotation files in COCO format in place of a config, the one to train on first',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='FOLDER',
        default=['.'],
        help='folders of their pictures: one for each file, or one for all; default: .',
    )
    parser.add_argument(
        '--pictures',
        action='store_true',
        help='look at the header and the last bytes of every picture, not of some',
    )
    parser.add_argument(
        '--decode', action='store_true', help='decode every picture as well, which takes longer'
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_debug(parser)
    return parser
