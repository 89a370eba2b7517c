"""Measures time and memory of checking a data set of COCO's size before a training.

python -m benchmarks.data_check

Makes up an annotation file of 118,000 pictures with 860,000 boxes, and the pictures as links to
one; then parses the file, and checks it, each in a process of its own on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

PICTURES, BOXES, CLASSES = 118_000, 860_000, 80
WIDTH, HEIGHT = 640, 480


def make_up(folder: Path, pictures: int, boxes: int) -> None:
    """Write ``train.json`` and the pictures into a folder; the boxes are random."""
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (WIDTH - 50, HEIGHT - 50), (boxes, 2)).round(2)
    sides = rng.uniform(5, 50, (boxes, 2)).round(2)
    owners = rng.integers(1, pictures + 1, boxes).tolist()
    labels = rng.integers(1, CLASSES + 1, boxes).tolist()
    content = {
        'images': [
            {'id': key, 'file_name': f'{key:012d}.png', 'width': WIDTH, 'height': HEIGHT}
            for key in range(1, pictures + 1)
        ],
        'annotations': [
            {
                'id': index + 1,
                'image_id': owners[index],
                'category_id': labels[index],
                'bbox': [*corners[index].tolist(), *sides[index].tolist()],
                'area': float(sides[index].prod()),
                'iscrowd': 0,
                'segmentation': [],
            }
            for index in range(boxes)
        ],
        'categories': [{'id': key, 'name': f'class {key}'} for key in range(1, CLASSES + 1)],
    }
    (folder / 'train.json').write_text(json.dumps(content))
    (folder / 'images').mkdir()
    one = folder / 'one.png'
    cv2.imwrite(str(one), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for image in content['images']:
        os.symlink(one, folder / 'images' / image['file_name'])


def measure(what: str, folder: Path) -> dict[str, float]:
    """CPU seconds, and GiB above the start, of a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks.data_check', '--only', what, str(folder)],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def run(what: str, folder: Path) -> None:
    """Parse or check, and print the cost."""
    from ghm_mmdet.datasets.check import DataReading
    from ghm_mmdet.datasets.pictures import warn_of_sizes

    path = folder / 'train.json'
    before, start = _peak(), time.process_time()
    if what == 'parse':
        with open(path, 'rb') as file:
            kept = json.load(file)
    else:
        kept = DataReading()
        dataset = dict(
            type='mmdet.CocoDataset',
            ann_file=str(path),
            data_prefix=dict(img=str(folder / 'images')),
            metainfo=dict(classes=[f'class {key}' for key in range(1, CLASSES + 1)]),
            pipeline=[dict(type='mmcv.LoadImageFromFile')],
        )
        split = kept.read_dataset(dataset, 'train_dataloader.dataset', 'train')
        warn_of_sizes(split, kept.findings)
        assert not kept.findings.errors, kept.findings.errors
    seconds = time.process_time() - start
    print(json.dumps({'seconds': seconds, 'GiB': (_peak() - before) / 2**20}))


def _peak() -> int:
    """Peak of the resident memory in KiB; Linux counts it anew for each program."""
    status = Path('/proc/self/status').read_text().partition('VmHWM:')[2]
    return int(status.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs=2, metavar=('WHAT', 'FOLDER'), help=argparse.SUPPRESS)
    parser.add_argument('--quick', action='store_true', help='a hundredth of the size')
    args = parser.parse_args()
    if args.only:
        run(args.only[0], Path(args.only[1]))
        return
    scale = 100 if args.quick else 1
    with tempfile.TemporaryDirectory() as name:
        make_up(Path(name), PICTURES // scale, BOXES // scale)
        for what in ('parse', 'check'):
            cost = measure(what, Path(name))
            print(f'{what:6} {cost["seconds"]:6.1f} s {cost["GiB"]:6.2f} GiB')


if __name__ == '__main__':
    main()
