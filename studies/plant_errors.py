"""Plants wrong labels, missing boxes, shifted boxes and bogus boxes in a COCO file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from demo.planted_errors import bogus_boxes, plant_errors
from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.datasets.coco_file import DataError, is_ignored, read_coco_file, write_new_json

FRACTIONS = {
    'label_noise': 'fraction of the objects that get a wrong class',
    'missing': 'fraction of the objects whose box is left out',
    'shifted': 'fraction of the objects whose box is moved, by 0.3 to 0.5 of its size',
    'bogus': 'boxes where nothing is, as a fraction of the objects',
}
RECORDS = ('true_category_id', 'true_bbox', 'bogus')


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.plant_errors`` with the given arguments, by default the command line's."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        fractions = {name: getattr(args, name) for name in FRACTIONS}
        content = noisy_file(args.source, args.seed, **fractions)
        write_new_json(Path(args.out), content)
    wrong, shifted, bogus = (sum(key in each for each in content['annotations']) for key in RECORDS)
    print(
        f'{args.out}: {len(content["annotations"])} annotations, {wrong} mislabelled, '
        f'{shifted} shifted, {bogus} bogus; {len(content["missing_annotations"])} left out'
    )


def noisy_file(
    source: str,
    seed: int,
    label_noise: float = 0.0,
    missing: float = 0.0,
    shifted: float = 0.0,
    bogus: float = 0.0,
) -> dict:
    """Content of a COCO file with errors in it.

    Wrong labels are drawn among the categories that have objects. The truth is kept in the file:
    ``true_category_id`` in a mislabelled annotation, ``true_bbox`` in a shifted one, ``bogus`` in
    a box around nothing, and the list ``missing_annotations``. No object has two errors. If the
    other fractions are equal, the errors of a smaller fraction are among those of a larger one.

    Args:
        source: Annotation file.
        seed: Chooses the objects.
        label_noise: Fraction of the objects that get a wrong category.
        missing: Fraction of the objects that are left out.
        shifted: Fraction of the objects whose box is moved.
        bogus: Number of boxes around nothing, as a fraction of the objects.

    Raises:
        ConfigError: A fraction is out of range.
        DataError: The file is not in COCO format, has planted errors already, has objects of a
            single category only, or has no space for bogus boxes.
    """
    fractions = dict(label_noise=label_noise, missing=missing, shifted=shifted, bogus=bogus)
    _check_fractions(fractions)
    if seed < 0:
        raise ConfigError(f'--seed {seed}: must be 0 or more')
    file = read_coco_file(source)
    planted = any(key in each for each in file.annotations for key in RECORDS)
    if planted or file.content.get('missing_annotations'):
        raise DataError(f'{source}: has planted errors already; name the file without them')
    # a root category without objects, as Roboflow writes it, is no possible wrong class
    used = {each['category_id'] for each in file.annotations if not is_ignored(each)}
    categories = [number for number in file.categories.values() if number in used]
    if label_noise and len(categories) == 1:
        raise DataError(
            f'{source}: has one category with objects, so that no label can be a wrong one'
        )
    rng = np.random.default_rng(seed)
    kept, left_out = plant_errors(
        file.annotations, categories, label_noise, missing, rng, shifted, file.images
    )
    count = round(bogus * sum(not is_ignored(each) for each in file.annotations))
    try:
        made = bogus_boxes(file.annotations, kept, file.images, categories, count, rng)
    except ValueError as error:
        raise DataError(f'{source}: {error}') from None
    return {**file.content, 'annotations': [*kept, *made], 'missing_annotations': left_out}


def _check_fractions(fractions: Mapping[str, float]) -> None:
    options = {f'--{name.replace("_", "-")}': value for name, value in fractions.items()}
    for option, value in options.items():
        if not 0 <= value <= 1:
            raise ConfigError(f'{option} {value}: must be a fraction in [0, 1]')
    of_objects = {option: value for option, value in options.items() if option != '--bogus'}
    if sum(of_objects.values()) > 1:
        named = ', '.join(f'{option} {value}' for option, value in of_objects.items())
        raise ConfigError(f'{named}: must sum to 1 or less')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m studies.plant_errors', description=__doc__)
    parser.add_argument('source', metavar='FILE', help='annotation file in COCO format')
    parser.add_argument('out', metavar='OUT', help='file to write; it must not be there yet')
    for name, help_text in FRACTIONS.items():
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=float,
            default=0.0,
            metavar='F',
            help=f'{help_text} (default: %(default)s)',
        )
    parser.add_argument('--seed', type=int, default=0, help='chooses them (default: %(default)s)')
    add_debug(parser)
    return parser


if __name__ == '__main__':
    main()
