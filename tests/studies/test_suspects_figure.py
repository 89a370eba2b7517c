"""The crops of reports as a picture: what a page shows first is what the figure shows."""

import cv2
import numpy as np
import pytest

from gradient_report.crops import crop
from gradient_report.label_errors import Suspect
from gradient_report.report import Gallery, write_report
from studies.run_log import RunError
from studies.suspects_figure import KINDS, draw_suspects, first_suspects

SAID = ['nut → <ring> 0.90', 'nothing → nut 0.60', 'nut → beside the box 0.70', 'nut → nothing']


@pytest.fixture
def suspects(tmp_path):
    shades = np.linspace(0, 250, 40 * 60).astype(np.uint8).reshape(40, 60)
    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), shades)
    place = (1, str(image), (40, 60), (5.0, 5.0, 19.0, 30.0))
    return [
        Suspect(*place, 0, 0.1, 1, 0.9, 0.9),
        Suspect(*place, None, 0.0, 0, 0.6, 0.6),
        Suspect(*place, 0, 0.1, 0, 0.7, 0.5, believed_box=(9.0, 5.0, 23.0, 30.0)),
        Suspect(*place, 0, 0.01, 1, 0.02, 0.5),
    ]


def write(folder, galleries):
    folder.mkdir()
    entries = [Gallery(kind, 'These.', [*enumerate(each)]) for kind, each in galleries]
    facts = {'config': 'x.py'}
    write_report(
        folder / 'report.html',
        title='What x sees',
        facts=facts,
        pictures=[],
        galleries=entries,
        classes=('nut', '<ring>'),
        config='',
    )
    return folder


def test_the_first_of_each_gallery_with_its_words(tmp_path, suspects):
    galleries = [(kind, [each, suspects[0]]) for kind, each in zip(KINDS, suspects)]
    found = first_suspects(write(tmp_path / 'report', galleries))
    assert [said for said, _ in found] == SAID
    for (_, shown), suspect in zip(found, suspects):
        data = np.frombuffer(crop(suspect), np.uint8)
        decoded = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        # two decoders of JPEG may round a pixel differently
        assert np.abs(shown.astype(int) - decoded).max() <= 3

    figure = draw_suspects({'first': found, 'second': found})
    assert len(figure.axes) == 2 * len(KINDS)
    assert [axes.texts[-1].get_text() for axes in figure.axes] == SAID * 2
    titles = [axes.get_title(loc='left') for axes in figure.axes]
    assert titles == [*KINDS, '', '', '', '']


@pytest.mark.parametrize('kept', [0, 3])
def test_a_page_without_a_suspect_of_each_kind_is_named(tmp_path, suspects, kept):
    galleries = [
        (kind, [each] if at < kept else []) for at, (kind, each) in enumerate(zip(KINDS, suspects))
    ]
    report = write(tmp_path / 'report', galleries)
    with pytest.raises(RunError, match='must have a suspect'):
        first_suspects(report)


def test_no_page_is_named(tmp_path):
    with pytest.raises(RunError, match='no such page'):
        first_suspects(tmp_path)
