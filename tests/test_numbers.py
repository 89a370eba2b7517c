"""The numbers of the pages: those of the tables in docs/results, and what a reader computes."""

import csv
import re
import statistics
from itertools import combinations, groupby, permutations, product
from math import sqrt

import pytest

from studies.headline import NEW_DATA, WITH_CLASS_WEIGHTS, Headline, read_difference
from tests.processes import REPOSITORY

RESULTS = REPOSITORY / 'docs' / 'results'
FINE_TUNED = ('bccd', 'cards', 'pcb')
PAGES = ['README.md', 'docs/results.md', 'docs/heads.md', 'docs/when-it-helps.md'] + [
    f'docs/studies/{name}.md'
    for name in ('fine-tuning', 'loss-weight', 'from-scratch', 'label-errors')
]
SPREAD = re.compile(r'([+-]?\d+\.\d+) ± (\d+\.\d+)')
SEEDS = re.compile(r'\d+\.\d+(, \d+\.\d+)+')
PAIRED = re.compile('paired|minus the chosen')
"""Differences to the first row of the page's table."""
NOT_IN_A_TABLE = re.compile(
    'minus the same|by correcting|loss, wrong labels|with L1|all ten|fine-tuned|minus (GHM-C|[01])'
)
"""Differences to another row than the first or of another table, and rows without a table."""


def page_tables(page):
    """Header and rows of each table of a page, as lists of cells."""
    lines = (REPOSITORY / page).read_text().splitlines()
    for is_table, block in groupby(lines, lambda line: line.startswith('|')):
        if is_table:
            header, _, *rows = (
                [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]] for line in block
            )
            yield header, rows


def numbers(cell):
    return [float(each) for each in cell.split(', ')] if SEEDS.fullmatch(cell) else []


def spread(values, *, error=False):
    """Mean and deviation, or standard error of the mean, of numbers."""
    return statistics.fmean(values), statistics.stdev(values) / (sqrt(len(values)) if error else 1)


def is_that(cell, values, *, error=False):
    """Whether a cell is the mean, with its deviation, of numbers that are rounded as it is."""
    step = 10.0 ** -len(cell.strip('*').split(' ')[0].split('.')[1])
    shown = SPREAD.search(cell)
    found = [float(each) for each in shown.groups()] if shown else [float(cell.strip('*'))]
    rounding = 1.01 * step * (1.5 if error else 1)
    return found == pytest.approx(spread(values, error=error)[: len(found)], abs=rounding)


def rows_of(page):
    """Each row of a page's tables, with the header and the first row of its table."""
    for header, rows in page_tables(page):
        for row in rows:
            yield header, row, rows[0]


@pytest.mark.parametrize('page', PAGES)
def test_a_mean_is_that_of_the_seeds_beside_it(page):
    for _, row, _ in rows_of(page):
        for seeds, mean in zip(row, row[1:]):
            if numbers(seeds) and re.fullmatch(r'\**\d+\.\d+( ± \d+\.\d+)?\**', mean):
                assert is_that(mean, numbers(seeds)), row


@pytest.mark.parametrize('page', PAGES)
def test_a_difference_is_that_of_the_seeds(page):
    """Of two lists in a row, or of a row's list and that of the table's first row."""
    for header, row, first in rows_of(page):
        lists = [numbers(cell) for cell in row if numbers(cell)]
        if PAIRED.search(header[-1]) and row is not first:
            lists = [numbers(cell) for cell in first if numbers(cell)] + lists
        if len(lists) == 2 and len(lists[0]) == len(lists[1]) and SPREAD.search(row[-1]):
            pairs = [two - one for one, two in zip(*lists)]
            assert is_that(row[-1], pairs, error=True), row


def table_spreads():
    """Each mean with its deviation, and difference with its error, of the tables of runs."""
    for path in RESULTS.glob('*.csv'):
        for row in csv.DictReader(path.open()):
            for name, sign in (('ap', ''), ('ap50', ''), ('ap75', ''), ('difference', '+')):
                kind = 'error' if sign else 'deviation'
                mean, width = (row.get(f'{name}_{each}') for each in ('mean', kind))
                if mean and width:
                    yield f'{float(mean):{sign}.1f} ± {float(width):.1f}'


def mean_of_sets(differences):
    """The mean over data sets of each one's mean, as the fine-tuning study gives it."""
    mean, error = spread([statistics.fmean(each) for each in differences], error=True)
    return f'{mean:+.1f} ± {error:.1f}'


def fine_tuning_spreads(table):
    """What the curves of a table of the fine-tuning study add up to after each epoch."""
    aps = {}
    for path in (RESULTS / f'{table}-{data}-curves.csv' for data in FINE_TUNED):
        for line in csv.DictReader(path.open()):
            at = (int(line['epoch']), path.name, line['row'])
            aps.setdefault(at, {})[int(line['seed'])] = float(line['ap'])
    for epoch in {at[0] for at in aps}:
        pairs = {}
        for _, name, row in sorted(at for at in aps if at[0] == epoch):
            own, focal = aps[epoch, name, row], aps[epoch, name, 'focal']
            both = [own[seed] - focal[seed] for seed in own if seed in focal]
            if row != 'focal' and len(both) > 1:
                mean, error = spread(both, error=True)
                yield f'{mean:+.1f} ± {error:.1f}'
                pairs.setdefault(row, []).append(both)
        yield from (mean_of_sets(each) for each in pairs.values() if len(each) == len(FINE_TUNED))
    tests = {}
    for data in FINE_TUNED:
        for row in csv.DictReader((RESULTS / f'{table}-{data}-test.csv').open()):
            if row['difference_mean'] and row['row'] != 'focal':
                tests.setdefault(row['row'], []).append([float(row['difference_mean'])])
    yield from (mean_of_sets(each) for each in tests.values() if len(each) == len(FINE_TUNED))


def gain(table, row):
    """The mean difference of a row to focal loss, as a list of one number."""
    return [read_difference(Headline(table, table, row)).mean]


def gamma_spreads():
    """The mean over data sets of what gamma changes, on val: all, those it met last, the others."""
    late = {each.table for each in NEW_DATA}
    differences = {}
    for path in RESULTS.glob('fine-tuning-gamma-*-val.csv'):
        for key in ('all', path.stem in late):
            differences.setdefault(key, []).append(gain(path.stem, 'ghmc-gamma1'))
    yield from map(mean_of_sets, differences.values())


def rule_spreads():
    """The mean over three sets of what the rule's setting gains, by training and split."""
    settings = dict.fromkeys(FINE_TUNED, 'ghmc-gamma1') | dict(bccd=WITH_CLASS_WEIGHTS)
    for table, split in product(('fine-tuning', 'fine-tuning-20e'), ('val', 'test')):
        yield mean_of_sets(
            gain(f'{table}-gamma-{data}-{split}', row) for data, row in settings.items()
        )


def class_spreads():
    """Differences between rows in the AP of a class, over seeds."""
    for path in RESULTS.glob('*-classes.csv'):
        aps = {}
        for line in csv.DictReader(path.open()):
            aps.setdefault((line['class'], line['row']), []).append(float(line['ap']))
        for (label, row), (other, base) in permutations(aps, 2):
            if label == other and len(aps[label, row]) == len(aps[other, base]):
                pairs = [a - b for a, b in zip(aps[label, row], aps[other, base])]
                if len(pairs) > 1:
                    mean, error = spread(pairs, error=True)
                    yield f'{mean:+.1f} ± {error:.1f}'


def label_error_spreads():
    """Mean and deviation over seeds by checkpoint, method and kind, and the report's lead."""
    found = {}
    for line in csv.DictReader((RESULTS / 'label-errors.csv').open()):
        for what in ('precision at 50', 'precision at 100', 'recall'):
            at = (line['checkpoint'], what, line['method'])
            found.setdefault(at, {}).setdefault(line['kind'], []).append(100 * float(line[what]))
    for kinds in found.values():
        kinds['mean'] = [statistics.fmean(each) for each in zip(*kinds.values())]
        for values in kinds.values():
            yield '{:.1f} ± {:.1f}'.format(*spread(values))
    for report, method in combinations(sorted(found, key=lambda at: at[2] != 'report'), 2):
        if report[:2] == method[:2] and report[2] == 'report':
            for kind in found[report]:
                pairs = [a - b for a, b in zip(found[report][kind], found[method][kind])]
                yield '{:.1f} ± {:.1f}'.format(*spread(pairs, error=True))


IN_TABLES = {
    *table_spreads(),
    *fine_tuning_spreads('fine-tuning'),
    *fine_tuning_spreads('fine-tuning-20e'),
    *gamma_spreads(),
    *rule_spreads(),
    *class_spreads(),
    *label_error_spreads(),
}


@pytest.mark.parametrize('page', PAGES)
def test_a_spread_is_that_of_a_table(page):
    for header, row, _ in rows_of(page):
        for name, cell in zip(header, row):
            pair = SPREAD.search(cell)
            if pair is None or len(pair[1].split('.')[1]) != 1:
                continue
            if NOT_IN_A_TABLE.search(f'{name} {row[0]} {row[1]}'):
                continue
            by_seeds = PAIRED.search(name) or (pair[1][0] not in '+-' and any(map(numbers, row)))
            assert pair[0] in IN_TABLES or by_seeds, f'{pair[0]} is in no table of docs/results'
