"""Read the data sets of a config, or annotation files, and report errors and surprises in them.

That the checkpoints a config starts from exist is checked as well.

Exit code 0 without findings, 1 with warnings, 2 with errors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mmcv
import numpy as np
from mmengine.logging import MMLogger
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ghm_mmdet.cli.check_config import check_pretrained
from ghm_mmdet.cli.check_data import check_num_classes
from ghm_mmdet.cli.checkpoint import check_file
from ghm_mmdet.cli.command_line import ConfigOptions, add_debug
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.datasets.check import LOOPS, DataReading, read_data
from ghm_mmdet.datasets.findings import DataError, Findings, listing
from ghm_mmdet.datasets.image_files import read_header
from ghm_mmdet.datasets.metrics import check_metric
from ghm_mmdet.datasets.pictures import UNDECODABLE_SHARE, warn_of_sizes
from ghm_mmdet.datasets.splits import Split, compare_splits

WARNED, FAILED = 1, 2
COUNTS = ('pictures', 'pictures used', 'pictures without objects', 'objects')
RANGES = ('objects of a picture', 'picture widths', 'picture heights')
SIZES = ('small objects', 'medium objects', 'large objects')
REASONS = {
    'ignore': "'ignore' is set",
    'iscrowd': 'iscrowd is 1',
    'thin': 'narrower or lower than a pixel',
    'area': 'area is 0 or less',
    'outside': 'outside of the picture',
}
COLUMN = 24
"""Characters of a column if the table goes to a file, which has no width of its own."""
TAIL = 1 << 16
"""Bytes at the end of a file that are searched first for its end mark."""
SMALL, LARGE = 32**2, 96**2
"""Square pixels between COCO's small, medium and large objects."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool with the given arguments, by default the command line's; the exit code."""
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
            look_at_pictures(split, args.decode, findings)
        else:
            warn_of_sizes(split, findings)
    (_print_json if args.json else _print_report)(splits, findings)
    return FAILED if findings.errors else WARNED if findings.warnings else 0


def _read(args: argparse.Namespace) -> DataReading:
    if args.ann:
        return read_files(args.ann, args.images)
    MMLogger.get_instance('check_data', log_level='ERROR')
    cfg = load_config(args.config, args.cfg_options)
    reading = read_data(cfg, LOOPS)
    checks = (
        lambda: check_pretrained(cfg, check_file),
        lambda: check_num_classes(cfg, reading.splits),
    )
    for check in checks:
        try:
            check()
        except ConfigError as error:
            reading.findings.error(str(error))
    return reading


def read_files(files: Sequence[str], folders: Sequence[str]) -> DataReading:
    """Read annotation files without a config, each for training and for the metric.

    Args:
        files: Annotation files, the one to train on first.
        folders: Of their pictures: one for each, or one for all.

    Raises:
        ConfigError: The number of folders is neither that of the files nor one.
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


def look_at_pictures(split: Split, decode: bool, findings: Findings) -> None:
    """Read every picture of a data set: header and last bytes, or the whole file."""
    warn_of_sizes(split, findings, len(split.paths))
    total = len(split.paths)
    with ThreadPoolExecutor() as pool:
        faults = pool.map(lambda path: _fault(path, split.turns, decode), split.paths)
        faults = [*track(faults, f'{split.name}:', total, console=Console(stderr=True))]
    pairs = [*zip(split.paths, faults)]
    ended = [path for path, fault in pairs if fault == 'ends']
    broken = [path for path, fault in pairs if fault == 'broken']
    if ended:
        findings.warn(
            f'{split.table.path}: {len(ended)} of {total} pictures end before their last line, '
            f'{listing(ended)}; MMDetection may not read them: copy them again'
        )
    if broken:
        report = findings.error if len(broken) > UNDECODABLE_SHARE * total else findings.warn
        report(
            f'{split.table.path}: {len(broken)} of {total} pictures cannot be decoded, '
            f'{listing(broken)}; copy them again, or remove their entries'
        )


def _fault(path: str, is_loaded: bool, decode: bool) -> str | None:
    """'broken', or 'ends' for a picture that ends too early, or None.

    ``is_loaded`` is whether MMDetection's own loader reads it.
    """
    if not os.path.isfile(path):
        return None  # a missing file was reported already
    # OpenCV may know a format that Pillow does not
    if is_loaded and (decode or read_header(path) is None) and not is_decodable(path):
        return 'broken'
    return 'ends' if is_cut_off(path) else None


def is_cut_off(path: str) -> bool:
    """Whether a JPEG or PNG file ends before its picture does."""
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        start = file.read(8)
        if not size:
            return True
        file.seek(max(0, size - TAIL))
        tail = file.read()
        if start.startswith(b'\xff\xd8'):
            return not (_ends_jpeg(tail) or _ends_jpeg(Path(path).read_bytes()))
        if start == b'\x89PNG\r\n\x1a\n':
            return b'IEND' not in tail and b'IEND' not in Path(path).read_bytes()
    return False


def _ends_jpeg(data: bytes) -> bool:
    """Whether an end mark follows the last scan; a preview in the header has its own end mark."""
    return data.rfind(b'\xff\xd9') > data.rfind(b'\xff\xda')


def is_decodable(path: str) -> bool:
    """Whether MMDetection's loader can decode a file."""
    try:
        return mmcv.imread(path) is not None
    except Exception:  # with random bytes a decoder raises any error
        return False


def _print_json(splits: Sequence[Split], findings: Findings) -> None:
    """Print all numbers, errors and warnings as one JSON object."""
    content = dict(
        data_sets=[split_statistics(split) for split in splits],
        errors=findings.errors,
        warnings=findings.warnings,
    )
    print(json.dumps(content, indent=2, ensure_ascii=False))


def _print_report(splits: Sequence[Split], findings: Findings) -> None:
    """Print a table with a column for each data set, and then each finding in a line."""
    if splits:
        width = None if sys.stdout.isatty() else 60 + COLUMN * len(splits)
        Console(width=width).print(_table(splits))
    for kind, lines in (('error', findings.errors), ('warning', findings.warnings)):
        for line in lines:
            print(f'{kind}: {line}')
    print(f'{_number(findings.errors, "error")}, {_number(findings.warnings, "warning")}')


def _table(splits: Sequence[Split]) -> Table:
    statistics = [split_statistics(split) for split in splits]
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column('')
    for label in _labels(splits):
        table.add_column(label, justify='right', overflow='fold')

    def add(title: str, values: Sequence[object]) -> None:
        table.add_row(title, *map(_cell, values))

    for key in (*COUNTS, *SIZES):
        add(key, [each[key] for each in statistics])
    for key in RANGES:
        add(f'{key}: median (range)', [each[key] for each in statistics])
    table.add_section()
    for key, reason in REASONS.items():
        counts = [each['not trained on'].get(key, 0) for each in statistics]
        if any(counts):
            add(f'not trained on: {reason}', counts)
    others = [each['other categories'] for each in statistics]
    if any(others):
        add('not trained on: another category', others)
    table.add_section()
    for label in dict.fromkeys(label for each in statistics for label in each['classes']):
        add(label, [each['classes'].get(label) for each in statistics])
    return table


def _labels(splits: Sequence[Split]) -> list[str]:
    """Short headings: the loop of a config, with a number where it has several, or the file."""
    names = [split.loop if '.dataset' in split.name else Path(split.name).stem for split in splits]
    several = Counter(names)
    seen: Counter = Counter()
    labels = []
    for name in names:
        labels.append(f'{name} {seen[name] + 1}' if several[name] > 1 else name)
        seen[name] += 1
    return labels


def _cell(value: object) -> str:
    if value is None:
        return '-'
    if isinstance(value, list):
        least, median, most = value
        return f'{median:g} ({least:g}-{most:g})' if least < most else f'{median:g}'
    return f'{value:,}'


def _number(lines: Sequence[str], name: str) -> str:
    return f'{len(lines)} {name}{"" if len(lines) == 1 else "s"}'


def split_statistics(split: Split) -> dict[str, object]:
    """Numbers of one data set, as plain Python numbers.

    Objects are the annotations that MMDetection trains on, or would train on if it trained on this
    data set.
    """
    table, objects = split.table, split.trained_on
    of_picture = np.bincount(table.image[objects], minlength=len(table.image_ids))[split.rows]
    areas = table.areas[objects]
    listed = table.is_of(split.classes)
    counts = np.bincount(table.category[objects], minlength=len(table.category_ids))
    of_class = dict(zip(table.category_ids, counts.tolist()))
    left_out = {key: int((mask & listed).sum()) for key, mask in table.left_out().items()}
    return {
        'name': split.name,
        'file': table.path,
        'folder': split.folder,
        'pictures': len(table.image_ids),
        'pictures used': len(split.rows),
        'pictures without objects': int((of_picture == 0).sum()),
        'objects': int(objects.sum()),
        'objects of a picture': _range(of_picture),
        'small objects': int((areas < SMALL).sum()),
        'medium objects': int(((areas >= SMALL) & (areas < LARGE)).sum()),
        'large objects': int((areas >= LARGE).sum()),
        'picture widths': _range(table.sizes[split.rows, 0]),
        'picture heights': _range(table.sizes[split.rows, 1]),
        'not trained on': {key: count for key, count in left_out.items() if count},
        'other categories': int((~listed).sum()),
        'classes': {label: of_class.get(label, 0) for label in split.classes},
    }


def _range(values: np.ndarray) -> list[float] | None:
    """Smallest, median and largest value; None without values."""
    if not len(values):
        return None
    return [float(values.min()), float(np.median(values)), float(values.max())]


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


if __name__ == '__main__':
    sys.exit(main())
