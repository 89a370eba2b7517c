"""Draws what GHM-C does to a made-up distribution of gradient norms: the quick look, no data.

python -m demo.explain [--out FILE.png] [--examples N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ghm_mmdet.diagnosis.style import save
from tools.gradient_report.curve_figures import draw_curves
from tools.gradient_report.curves import (
    classification_curves,
    contribution_shares,
    mined_ratio,
    region_centres,
)

REGIONS = 30  # M of GHM-C
FINE_REGIONS = 4 * REGIONS
EASY, HARD, OUTLIER = 0.1, 0.5, 0.9
EXAMPLES = range(10_000, 10_000_001)


class Part(NamedTuple):
    """Examples whose g follows a beta distribution with the parameters a and b."""

    label: str
    share: float
    a: float
    b: float


# After a trained one-stage detector: a peak of easy examples, a valley, a smaller peak of outliers
DISTRIBUTION = (
    Part('negatives', 0.995, 0.5, 12),  # easy background, mean g 0.04
    Part('positives', 0.003, 1, 1.5),  # objects, anywhere
    Part('negatives', 0.0015, 40, 1),  # outliers: objects that nobody annotated
    Part('positives', 0.0005, 40, 1),  # outliers: wrong annotations
)


def synthetic_counts(examples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw the examples of ``DISTRIBUTION``.

    Args:
        examples: How many, about.
        seed: Same seed, same counts.

    Returns:
        Counts of g per region of 1 / ``FINE_REGIONS`` for 'negatives' and 'positives', int64.
    """
    rng = np.random.default_rng(seed)
    counts = {part.label: np.zeros(FINE_REGIONS, dtype=np.int64) for part in DISTRIBUTION}
    for part in DISTRIBUTION:
        norms = rng.beta(part.a, part.b, round(part.share * examples))
        counts[part.label] += np.histogram(norms, FINE_REGIONS, (0, 1))[0]
    return counts


def sentences(counts: dict[str, np.ndarray], curves: dict[str, np.ndarray]) -> list[str]:
    """What each of the three panels shows, in numbers.

    Args:
        counts: Of 'negatives' and 'positives'.
        curves: Reformulated gradient norms of their sum.
    """
    total = counts['negatives'] + counts['positives']
    shares = contribution_shares(total, curves)
    g = region_centres(len(total))
    easy, hard, outlier = g < EASY, (g > HARD) & (g < OUTLIER), g > OUTLIER

    def part(values: np.ndarray) -> str:
        return f'{values.sum() / total.sum():.2%}'

    def gain(name: str, where: np.ndarray) -> str:
        return f'{(total * curves[name])[where].sum() / (total * g)[where].sum():.2f}'

    def gains(name: str) -> str:
        return f'{gain(name, easy)}, {gain(name, hard)} and {gain(name, outlier)} under {name}'

    def all_shares(where: np.ndarray) -> str:
        return ', '.join(f'{share[where].sum():.1%} under {name}' for name, share in shares.items())

    return [
        f'How many examples: of {total.sum():,}, {part(total[easy])} are easy (g < {EASY}), '
        f'{part(total[hard])} hard ({HARD} < g < {OUTLIER}), {part(total[outlier])} outliers '
        f'(g > {OUTLIER}); {part(counts["positives"])} are positives.',
        'The gradient of one example: an easy, a hard and an outlying one have '
        f'{gains("focal loss")}, {gains("GHM-C")}, in units of what cross entropy gives them.',
        f'Who moves the model: the easy have {all_shares(easy)}; '
        f'the outliers have {all_shares(outlier)}.',
    ]


def draw(counts: dict[str, np.ndarray], curves: dict[str, np.ndarray], path: Path) -> list[Path]:
    """Write the three panels as PNG and SVG, and return the files."""
    total = counts['negatives'] + counts['positives']
    shares = contribution_shares(total, curves, REGIONS)
    return save(draw_curves(counts, curves, shares, 'g'), path)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, and say what is to be seen."""
    args = _parse_args(argv)
    try:
        path = _new_file(args.out)
        if args.examples not in EXAMPLES:
            raise ValueError(
                f'--examples {args.examples}: must be from {EXAMPLES[0]:,} to {EXAMPLES[-1]:,}'
            )
        counts = synthetic_counts(args.examples)
        keep_ratio = mined_ratio(counts['positives'], counts['negatives'])
        curves = classification_curves(
            counts['negatives'] + counts['positives'], REGIONS, keep_ratio
        )
        files = draw(counts, curves, path)
    except (ValueError, OSError) as error:
        sys.exit(f'explain: error: {error}')
    for file in files:
        print(f'picture   {file}')
    for sentence in sentences(counts, curves):
        print(sentence)


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m demo.explain',
        description='Draws what GHM-C does to a made-up distribution of gradient norms.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--out', type=Path, default=Path('ghm_explained.png'), help='PNG file; the SVG lies beside'
    )
    parser.add_argument('--examples', type=int, default=1_000_000, help='how many are drawn')
    return parser.parse_args(argv)


def _new_file(path: Path) -> Path:
    if path.suffix != '.png':
        raise ValueError(f'--out {path}: must end in .png')
    if not path.parent.is_dir():
        raise ValueError(f'--out {path}: there is no folder {path.parent}')
    for file in (path, path.with_suffix('.svg')):
        if file.exists():
            raise ValueError(f'{file} is there already: name another file with --out')
    return path


if __name__ == '__main__':
    main()
