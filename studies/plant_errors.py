"""Plants wrong labels and missing boxes in a COCO file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.datasets.coco_file import DataError, is_ignored, read_coco_file, write_new_json
from studies.planted_errors import plant_errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.plant_errors`` with the given arguments, by default the command line's."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        content = noisy_file(args.source, args.label_noise, args.missing, args.seed)
        write_new_json(Path(args.out), content)
    wrong = sum('true_category_id' in each for each in content['annotations'])
    print(
        f'{args.out}: {len(content["annotations"])} annotations, {wrong} mislabelled; '
        f'{len(content["missing_annotations"])} left out'
    )


def noisy_file(source: str, label_noise: float, missing: float, seed: int) -> dict:
    """Content of a COCO file with errors in it.

    Wrong labels are drawn among the categories that have objects. What was there stays on record:
    ``true_category_id`` in a mislabelled annotation, and the list ``missing_annotations``. The
    errors of a smaller fraction are among those of a larger one.

    Args:
        source: Annotation file.
        label_noise: Fraction of the objects that get a wrong category.
        missing: Fraction of the objects that are left out.
        seed: Chooses them.

    Raises:
        ConfigError: A fraction is out of range.
        DataError: The file is none in COCO format, has errors planted already, or objects of a
            single category and so no wrong one.
    """
    for name, value in (('--label-noise', label_noise), ('--missing', missing)):
        if not 0 <= value <= 1:
            raise ConfigError(f'{name} {value}: must be a fraction in [0, 1]')
    if label_noise + missing > 1:
        raise ConfigError(
            f'--label-noise {label_noise} and --missing {missing}: must sum to 1 or less'
        )
    if seed < 0:
        raise ConfigError(f'--seed {seed}: must be 0 or more')
    file = read_coco_file(source)
    wrong = any('true_category_id' in each for each in file.annotations)
    if wrong or file.content.get('missing_annotations'):
        raise DataError(f'{source}: has planted errors already; name the file without them')
    # a root category without objects, as Roboflow writes, is no class that one could mistake
    used = {each['category_id'] for each in file.annotations if not is_ignored(each)}
    categories = [number for number in file.categories.values() if number in used]
    if label_noise and len(categories) == 1:
        raise DataError(
            f'{source}: has one category with objects, so that no label can be a wrong one'
        )
    kept, left_out = plant_errors(
        file.annotations, categories, label_noise, missing, np.random.default_rng(seed)
    )
    return {**file.content, 'annotations': kept, 'missing_annotations': left_out}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='python -m studies.plant_errors', description=__doc__)
    parser.add_argument('source', metavar='FILE', help='annotation file in COCO format')
    parser.add_argument('out', metavar='OUT', help='file to write; it must not be there yet')
    parser.add_argument(
        '--label-noise',
        type=float,
        default=0.0,
        metavar='F',
        help='fraction of the objects that get a wrong class (default: %(default)s)',
    )
    parser.add_argument(
        '--missing',
        type=float,
        default=0.0,
        metavar='F',
        help='fraction of the objects whose box is left out (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='chooses them (default: %(default)s)')
    add_debug(parser)
    return parser


if __name__ == '__main__':
    main()
