"""Writes the sample data set: small hardware parts on a workbench, in COCO format."""

from __future__ import annotations

import argparse
import sys

from rich.progress import track

from demo.sample import SampleSettings, make_sample_dataset


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.exit(2, f'{self.prog}: error: {message}\n')


def parse_args() -> argparse.Namespace:
    default = SampleSettings()
    parser = Parser(
        prog='python -m demo.make_sample_dataset',
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('out', help='folder to make: new, empty, or made with the same settings')
    parser.add_argument('--seed', type=int, default=default.seed, help='same seed, same pictures')
    parser.add_argument('--train', type=int, default=default.train, help='training images')
    parser.add_argument('--val', type=int, default=default.val, help='validation images')
    parser.add_argument('--size', type=int, default=default.size, help='image side in pixels')
    parser.add_argument(
        '--label-noise',
        type=float,
        default=default.label_noise,
        metavar='F',
        help='fraction of the training objects that get a wrong class',
    )
    parser.add_argument(
        '--missing',
        type=float,
        default=default.missing,
        metavar='F',
        help='fraction of the training objects whose box is left out',
    )
    parser.add_argument(
        '--long-tail',
        type=float,
        default=default.long_tail,
        metavar='RATIO',
        help='how many times more of its training objects the first class keeps than the last; '
        'the others become crowds',
    )
    return parser.parse_args()


def main() -> None:
    args = vars(parse_args())
    out = args.pop('out')
    try:
        summary = make_sample_dataset(out, SampleSettings(**args), track)
    except (ValueError, OSError) as error:
        sys.exit(f'make_sample_dataset: error: {error}')
    state = 'already there' if summary.already_there else 'made'
    print(
        f'{out}: {state}, {summary.images} images, {summary.objects} objects, '
        f'{summary.mislabelled} mislabelled, {summary.missing} without a box'
    )


if __name__ == '__main__':
    main()
