"""A small, hard, deterministic detection data set in COCO format, made in seconds.

    <out>/annotations/instances_{train,val}.json
    <out>/{train,val}/*.jpg
    <out>/sample_dataset.json        the settings it was made with

The pictures depend on the seed and the size alone: label noise, missing boxes and a long tail
change nothing but `instances_train.json`, and a longer split starts with the pictures of a shorter
one.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from demo.long_tail import long_tail
from demo.planted_errors import plant_errors
from demo.sample_coco import Track, untracked, write_images

MARKER = 'sample_dataset.json'
# Raised whenever the same settings give other files than before.
GENERATOR_VERSION = 1
# Each has random numbers of its own, so that no setting of one disturbs another.
STREAMS = {'train': 0, 'val': 1, 'errors': 2, 'tail': 3}


@dataclass(frozen=True)
class SampleSettings:
    """What a sample data set is made from.

    Attributes:
        seed: Same seed, same pictures.
        train: Number of training images.
        val: Number of validation images; their annotations are always correct.
        size: Side of the square images in pixels.
        label_noise: Fraction of the training objects with a wrong category.
        missing: Fraction of the training objects without a box.
        long_tail: How many times more of its training objects the first class keeps than the last;
            the others become crowds, see :func:`demo.long_tail.long_tail`. At 1 all are kept.

    Raises:
        ValueError: If a value is not allowed; the message names the argument.
    """

    seed: int = 0
    train: int = 720
    val: int = 60
    size: int = 160
    label_noise: float = 0.0
    missing: float = 0.0
    long_tail: float = 1.0

    def __post_init__(self) -> None:
        bounds = {
            'seed': (0, 2**32 - 1),
            'train': (1, 99999),
            'val': (1, 99999),
            'size': (64, 1024),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f'{name} must be an integer in [{low}, {high}], got {value!r}')
        for name in ('label_noise', 'missing'):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f'{name} must be a fraction in [0, 1], got {value!r}')
        total = self.label_noise + self.missing
        if total > 1:
            raise ValueError(f'label_noise + missing must be at most 1, got {total:g}')
        if not 1 <= self.long_tail <= 1000:
            raise ValueError(f'long_tail must be a ratio in [1, 1000], got {self.long_tail!r}')


@dataclass(frozen=True)
class SampleSummary:
    """What a folder holds.

    Attributes:
        images: Number of images in both splits.
        objects: Number of annotated objects in both splits, crowds and ignored ones not counted.
        mislabelled: Number of training objects with a wrong category.
        missing: Number of training objects without a box.
        already_there: The folder had been made before, with the same settings.
    """

    images: int
    objects: int
    mislabelled: int
    missing: int
    already_there: bool


def make_sample_dataset(
    out: str | Path, settings: SampleSettings | None = None, track: Track = untracked
) -> SampleSummary:
    """Writes the data set, or finds it already there.

    It is written beside `out` and moved there when it is complete, so an interrupted run leaves
    nothing behind that could be taken for a data set.

    Args:
        out: A folder that does not exist, is empty, or holds this very data set.
        settings: Defaults to `SampleSettings()`.
        track: Shows how far it is: takes the ids of a split's images and its name, yields the ids.

    Raises:
        FileExistsError: If `out` holds anything else. Nothing in it is touched.
    """
    settings = settings or SampleSettings()
    out = Path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        check_already_there(out, settings)
        return summarize(out, already_there=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}-', dir=out.parent) as scratch:
        made = Path(scratch) / out.name
        write_dataset(made, settings, track)
        made.replace(out)
    return summarize(out, already_there=False)


def check_already_there(out: Path, settings: SampleSettings) -> None:
    """Raises FileExistsError unless `out` is a complete sample data set with these settings."""
    advice = 'choose a new or empty folder'
    if not (out / MARKER).is_file():
        raise FileExistsError(f'out={out} is not empty and is no sample data set: {advice}')
    wanted = marker(settings)
    try:
        # sets that were made before there was the setting have no long tail
        found = {'long_tail': 1.0, **json.loads((out / MARKER).read_text())}
        differing = [key for key in wanted if found.get(key) != wanted[key]]
    except (ValueError, TypeError):
        raise FileExistsError(f'out={out} has an unreadable {MARKER}: {advice}') from None
    if differing:
        changes = ', '.join(f'{key} {found.get(key)} (now {wanted[key]})' for key in differing)
        raise FileExistsError(f'out={out} was made with other settings, {changes}: {advice}')
    for split, count in (('train', settings.train), ('val', settings.val)):
        images = len(list((out / split).glob('*.jpg')))
        if images < count or not annotation_file(out, split).is_file():
            raise FileExistsError(
                f'out={out} is incomplete, {split} has {images} of {count} images or no '
                f'annotations: {advice}'
            )


def write_dataset(folder: Path, settings: SampleSettings, track: Track) -> None:
    """Writes both splits, their annotations and the marker into a folder that does not exist."""
    (folder / 'annotations').mkdir(parents=True)
    for split, count in (('train', settings.train), ('val', settings.val)):
        content = write_images(
            folder / split, settings.seed, STREAMS[split], count, settings.size, track
        )
        if split == 'train':
            ids = [category['id'] for category in content['categories']]
            tail, errors = (
                np.random.default_rng([settings.seed, STREAMS[name]]) for name in ('tail', 'errors')
            )
            annotations = long_tail(content['annotations'], ids, settings.long_tail, tail)
            content['annotations'], content['missing_annotations'] = plant_errors(
                annotations, ids, settings.label_noise, settings.missing, errors
            )
        annotation_file(folder, split).write_text(json.dumps(content))
    (folder / MARKER).write_text(json.dumps(marker(settings), indent=2) + '\n')


def annotation_file(folder: Path, split: str) -> Path:
    return folder / 'annotations' / f'instances_{split}.json'


def marker(settings: SampleSettings) -> dict:
    return {'generator': GENERATOR_VERSION, **asdict(settings)}


def summarize(folder: Path, already_there: bool) -> SampleSummary:
    train, val = (
        json.loads(annotation_file(folder, split).read_text()) for split in ('train', 'val')
    )
    annotations = train['annotations'] + val['annotations']
    return SampleSummary(
        images=len(train['images']) + len(val['images']),
        objects=sum(not ann['iscrowd'] for ann in annotations),
        mislabelled=sum('true_category_id' in ann for ann in train['annotations']),
        missing=len(train['missing_annotations']),
        already_there=already_there,
    )
