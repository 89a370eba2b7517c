"""The quick look: its files, its numbers against ones computed from the examples, its errors."""

import re

import cv2
import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from demo import explain

EXAMPLES = 20_000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers(text):
    text = re.sub(r'\([^)]*\)', '', text)  # the limits of easy, hard and outlying
    return [float(match.replace(',', '')) for match in re.findall(r'\d[\d,]*\.?\d*', text)]


def test_writes_pictures_and_says_which(folder, capsys):
    explain.main(['--examples', str(EXAMPLES)])
    assert sorted(path.name for path in folder.iterdir()) == [
        'ghm_explained.png',
        'ghm_explained.svg',
    ]
    assert cv2.imread('ghm_explained.png') is not None
    assert (folder / 'ghm_explained.svg').read_bytes().startswith(b'<?xml')
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ['ghm_explained.png', 'ghm_explained.svg']
    assert len(lines) == 4


def test_same_examples_same_bytes(folder, capsys):
    printed = []
    for name in ('first', 'second'):
        (folder / name).mkdir()
        explain.main(['--examples', str(EXAMPLES), '--out', f'{name}/figure.png'])
        printed.append(capsys.readouterr().out.replace(name, ''))
    assert printed[0] == printed[1]
    for suffix in ('png', 'svg'):
        first, second = (folder / name / f'figure.{suffix}' for name in ('first', 'second'))
        assert first.read_bytes() == second.read_bytes()


def test_printed_numbers_are_those_of_the_distribution(folder, capsys):
    explain.main(['--examples', str(EXAMPLES)])
    sentences = capsys.readouterr().out.splitlines()[2:]

    counts = explain.synthetic_counts(EXAMPLES)
    total = counts['positives'] + counts['negatives']
    g = np.repeat((np.arange(len(total)) + 0.5) / len(total), total)
    easy, between, outlier = g < 0.1, (g > 0.1) & (g < 0.9), g > 0.9
    region = np.floor(g * 30).astype(int)
    gradients = {
        'cross entropy': g,
        'focal loss': g**2 * (g - 2 * (1 - g) * np.log(1 - g)),
        'GHM-C': g / np.bincount(region)[region],
        'GHM-C, small-data': g * _small_data_weight(region),
    }
    norms = {name: values / values.sum() for name, values in gradients.items()}
    parts = [len(g), *(100 * part.mean() for part in (easy, between, outlier))]
    expected = [
        [*parts, 100 * counts['positives'].sum() / len(g)],
        [100 * values[part].sum() for part in (easy, outlier) for values in norms.values()],
    ]
    for sentence, values, digits in zip(sentences, expected, (2, 1)):
        np.testing.assert_allclose(numbers(sentence), values, rtol=0, atol=0.501 * 10**-digits)


def _small_data_weight(region):
    """(R_j g_j)^-0.75 of the regions that hold an example, made one that never falls."""
    filled, place, counts = np.unique(region, return_inverse=True, return_counts=True)
    kept = isotonic_regression(counts * (filled + 0.5), increasing=False)
    return (1 / kept**0.75)[place]


def test_distribution_is_as_documented():
    assert sum(part.share for part in explain.DISTRIBUTION) == pytest.approx(1)
    counts = explain.synthetic_counts(100_000)
    assert {len(values) for values in counts.values()} == {explain.FINE_REGIONS}
    assert sum(values.sum() for values in counts.values()) == 100_000
    tenths = (counts['positives'] + counts['negatives']).reshape(10, -1).sum(1)
    assert tenths[0] > 0.5 * tenths.sum()
    assert tenths[-1] > tenths[5:-1].max()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--examples', '9999'], '--examples 9999: must be from 10,000 to 10,000,000'),
        (['--out', 'figure.jpg'], '--out figure.jpg: must end in .png'),
        (['--out', 'absent/figure.png'], '--out absent/figure.png: there is no folder absent'),
        (['--out', 'mine.png'], 'mine.png is there already'),
        (['--out', 'drawn.png'], 'drawn.svg is there already'),
    ],
)
def test_errors_are_one_line_and_touch_nothing(folder, arguments, message):
    mine = {name: folder / name for name in ('mine.png', 'drawn.svg')}
    for name, path in mine.items():
        path.write_text(name)
    with pytest.raises(SystemExit) as caught:
        explain.main(arguments)
    assert str(caught.value).startswith(f'explain: error: {message}')
    assert '\n' not in str(caught.value)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {n: n for n in mine}
