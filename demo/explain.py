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
from tools.gradient_report.curve_figures import EASY, OUTLIER, draw_overview, groups
from tools.gradient_report.curves import classification_curves, contribution_shares

REGIONS = 30  # M of GHM-C
FINE_REGIONS = 4 * REGIONS
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


def sentences(counts: dict[str, np.ndarray], shares: dict[str, np.ndarray]) -> list[str]:
    """What both panels show, in numbers.

    Args:
        counts: Of 'negatives' and 'positives'.
        shares: Of the total gradient per region, by the name of the loss.
    """
    total = counts['negatives'] + counts['positives']
    easy, between, outliers, positives = (
        f'{part / total.sum():.2%}' for part in (*groups(total), counts['positives'].sum())
    )
    parts = {name: groups(share) for name, share in shares.items()}

    def listed(place: int) -> str:
        return '; '.join(f'{part[place]:.1%} under {name}' for name, part in parts.items())

    return [
        f'How many examples: of {total.sum():,}, {easy} are easy (g < {EASY}), {between} between, '
        f'{outliers} outliers (g > {OUTLIER}); {positives} are positives.',
        f'Who moves the model: the easy have {listed(0)}; the outliers have {listed(2)}.',
    ]


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
        total = counts['negatives'] + counts['positives']
        shares = contribution_shares(total, classification_curves(total, REGIONS))
        files = save(draw_overview(counts, shares, 'g'), path)
    except (ValueError, OSError) as error:
        sys.exit(f'explain: error: {error}')
    for file in files:
        print(f'picture   {file}')
    for sentence in sentences(counts, shares):
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
