"""The first results of README and docs/results.md, as a table and as a figure.

python -m studies.headline [--figure FILE.png]

The numbers are read from the tables in docs/results, which studies.reproduce has written. The rows
are GHM-C's as recommended; the first row of each table is focal loss at its best gamma.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.diagnosis.style import COLOURS, finish, save
from studies.run_log import RunError

RESULTS = Path(__file__).resolve().parents[1] / 'docs' / 'results'
WIDTH, LINE = 8.0, 0.3  # inches


@dataclass(frozen=True)
class Headline:
    """A row of a table in docs/results.

    Attributes:
        label: In README.
        table: Name of the file without its suffix.
        row: GHM-C's.
    """

    label: str
    table: str
    row: str


FROM_SCRATCH = tuple(
    Headline(label, f'small-data-final-{table}', 'ghmc-no-prior')
    for label, table in (
        ('BCCD test, from scratch, 6 epochs', 'bccd-6-epochs-test'),
        ('BCCD test, from scratch, 18 epochs', 'bccd-18-epochs-test'),
        ('BCCD test, from scratch, 50 images', 'bccd-50-images-test'),
        ('drawn parts, from scratch', 'sample'),
        ('drawn parts, 40% of the labels wrong', 'sample-noise-40'),
    )
)


def _fine_tuned(label: str, epochs: int, table: str, row: str = 'ghmc-gamma1') -> Headline:
    return Headline(f'{label}, fine-tuned, {epochs} epochs', f'fine-tuning-{table}', row)


WITH_CLASS_WEIGHTS = 'ghmc-classes-gamma1'
FINE_TUNED = (
    _fine_tuned('BCCD test', 10, 'gamma-bccd-test'),
    _fine_tuned('BCCD test with class weights', 10, 'gamma-bccd-test', WITH_CLASS_WEIGHTS),
    _fine_tuned('playing cards test', 10, 'gamma-cards-test'),
    _fine_tuned('circuit boards test', 10, 'gamma-pcb-test'),
    _fine_tuned('BCCD test with class weights', 20, '20e-gamma-bccd-test', WITH_CLASS_WEIGHTS),
    _fine_tuned('playing cards test', 20, '20e-gamma-cards-test'),
    _fine_tuned('circuit boards test', 20, '20e-gamma-pcb-test'),
    _fine_tuned('drawn parts', 10, 'gamma-sample-val'),
    _fine_tuned('raccoons', 20, 'gamma-raccoon-val'),
    _fine_tuned('kangaroos', 30, 'gamma-kangaroo-val'),
    _fine_tuned('steel surfaces', 4, 'gamma-steel-val'),
)
NEW_DATA = (
    _fine_tuned('magnetic tiles', 10, 'gamma-tile-val'),
    _fine_tuned('microcontrollers', 20, 'gamma-controllers-val'),
    _fine_tuned('license plates', 6, 'gamma-plates-val'),
    _fine_tuned('film frames', 10, 'gamma-starwars-val'),
)
"""Of data on which nothing was chosen."""
HEADLINES = (*FROM_SCRATCH, *FINE_TUNED, *NEW_DATA)


@dataclass(frozen=True)
class Difference:
    """AP in percent, the mean over seeds.

    Attributes:
        label: In README.
        base: Of the table's first row.
        ap: Of the row.
        mean: Of the paired differences.
        error: Its standard error.
    """

    label: str
    base: float
    ap: float
    mean: float
    error: float

    @property
    def counts(self) -> bool:
        """Whether the difference is beyond two standard errors."""
        return abs(self.mean) > 2 * self.error

    def __str__(self) -> str:
        """A line of a Markdown table; a difference that counts is bold."""
        bold = '**' if self.counts else ''
        difference = f'{bold}{self.mean:+.1f} ± {self.error:.1f}{bold}'
        return f'| {self.label} | {self.base:.1f} | {self.ap:.1f} | {difference} |'


def read_difference(headline: Headline, folder: Path = RESULTS) -> Difference:
    """The difference of a row to the first one of its table.

    Raises:
        RunError: There is no such file or row, or fewer than two seeds of both rows.
    """
    path = folder / f'{headline.table}.csv'
    try:
        with path.open(newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        found = {each['row']: each for each in rows}[headline.row]
        names = ('ap_mean', 'difference_mean', 'difference_error')
        numbers = (float(rows[0]['ap_mean']), *(float(found[name]) for name in names))
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f'{path}: no difference of {headline.row} over two seeds or more') from error
    return Difference(headline.label, *numbers)


def draw_differences(differences: Sequence[Difference]) -> Figure:
    """A line for each difference, from top to bottom, with a bar of two standard errors.

    Those that count are filled.
    """
    figure = Figure(figsize=(WIDTH, LINE * len(differences) + 0.9), layout='constrained')
    axes = figure.subplots()
    colour = COLOURS['GHM-C']
    axes.axvline(0, color=COLOURS['focal loss'], linewidth=1.5)
    for place, each in enumerate(differences):
        face = colour if each.counts else 'white'
        look = dict(fmt='o', color=colour, markerfacecolor=face, capsize=2, linewidth=1.4)
        axes.errorbar(each.mean, place, xerr=2 * each.error, **look)
    axes.set_yticks(range(len(differences)), [each.label for each in differences])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.set_xlabel('mAP of GHM-C minus that of tuned focal loss')
    finish(axes)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.headline`` with the given arguments, by default the command line's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--figure', type=Path, metavar='FILE.png', help='draw them too')
    add_debug(parser)
    args = parser.parse_args(arguments)
    with one_line_errors(args.debug):
        differences = [read_difference(each) for each in HEADLINES]
        print(*differences, sep='\n')
        if args.figure:
            print(*save(draw_differences(differences), args.figure), sep='\n')


if __name__ == '__main__':
    main()
