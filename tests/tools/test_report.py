"""The page: complete in itself, in order, and safe from what names contain."""

from __future__ import annotations

import csv
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch

from ghm_mmdet.diagnosis.recorder import LossRecord
from gradient_report.figures import pictures_of
from gradient_report.label_errors import Suspect
from gradient_report.report import Gallery, write_report
from tools.analyze_gradients import (
    ANNOTATED,
    BADLY_PLACED,
    UNANNOTATED,
    UNSEEN,
    gallery,
)

REGIONS = 90
CLASSES = ('nut', '<script>alert(1)</script>')


class Page(HTMLParser):
    """The tags of a page, what they refer to, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ''
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ('src', 'href')]

    def handle_data(self, data):
        self.text += data


def record(kind, calls=3, groups=2):
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 1000, (calls, 2, groups, REGIONS), generator=generator)
    mu = None
    if kind == 'box':
        counts[:, 0] = 0
        mu = 0.02
    name = 'bbox_head.loss_cls' if kind == 'classification' else 'bbox_head.loss_bbox'
    return LossRecord(name, counts, counts.double(), mu)


@pytest.fixture
def page(tmp_path):
    image = tmp_path / 'a&b.png'
    cv2.imwrite(str(image), np.full((40, 60, 3), 200, np.uint8))
    suspects = [
        Suspect(1, str(image), (40, 60), (50.0, 5.0, 59.0, 30.0), 0, 0.1, 1, 0.9, 0.9),
        Suspect(1, str(image), (40, 60), (5.0, 5.0, 9.0, 30.0), None, 0.0, 0, 0.6, 0.6),
        Suspect(
            *(1, str(image), (40, 60), (5.0, 5.0, 9.0, 30.0), 0, 0.1, 0, 0.7, 0.5),
            believed_box=(9.0, 5.0, 13.0, 30.0),
        ),
        Suspect(2, str(tmp_path / 'gone.png'), (40, 60), (5.0, 5.0, 9.0, 9.0), 0, 0.1, 1, 0.9, 0.9),
        Suspect(1, str(image), (40, 60), (5.0, 5.0, 9.0, 30.0), 0, 0.01, 1, 0.02, 0.5),
    ]
    pictures = pictures_of(record('classification'), CLASSES, (8, 16, 32), per_class=True)
    path = tmp_path / 'report.html'
    write_report(
        path,
        title='What x sees',
        facts={'config': 'x.py', 'data': 'train'},
        pictures=pictures,
        galleries=[
            Gallery('Worst', 'These.', [*enumerate(suspects[:2], 1075)], 'g'),
            Gallery('Placed', 'Those.', [*zip('abc', suspects[2:])]),
            Gallery('Others', 'None here.', []),
        ],
        classes=CLASSES,
        config="a = '<b>'",
    )
    return Page(path.read_text())


def test_the_page_needs_nothing_else(page):
    assert len(page.links) == 3 + 5
    assert all(link.startswith('data:image/jpeg') for link in page.links[:5])
    assert all(link.startswith('data:image/svg') for link in page.links[5:])
    assert 'script' not in page.tags and 'link' not in page.tags


def test_the_page_says_what_is_wrong_with_each_object(page):
    said = ' '.join(page.text.split())
    assert f'nut → {CLASSES[1]} 0.90' in said
    assert 'nothing → nut 0.60' in said
    assert 'nut → beside the box 0.70' in said
    assert 'nut → nothing' in said
    assert 'g 0.900 id 1075, a&b.png' in said and 'g 0.600 id 1076' in said
    assert 'score 0.500 id a, a&b.png' in said and 'score 0.900 id b, gone.png' in said
    assert "a = '<b>'" in said and 'None.' in said


@pytest.mark.parametrize(
    ('heading', 'number', 'ids'),
    [
        (ANNOTATED, 'g', [3, 5]),
        (UNANNOTATED, 'score', [2, 3, 4]),
        (BADLY_PLACED, 'score', [2, 3, 4]),
        (UNSEEN, 'score', [2, 3, 4]),
    ],
)
def test_labels_that_the_model_sees_as_nothing_are_in_another_gallery(
    heading, number, ids, monkeypatch
):
    monkeypatch.setattr('tools.analyze_gradients.SHOWN', 3)
    seen = [(None, 0.0), (1, 0.9), (1, 0.04), (1, 0.05)]
    suspects = [
        Suspect(1, 'x.png', (4, 4), (0.0, 0.0, 1.0, 1.0), 0, 0.1, *each, 0.5) for each in seen
    ]
    made = gallery(heading, range(2, 6), suspects)
    assert (made.title, made.sentence, made.number) == (*heading, number)
    assert [key for key, _ in made.entries] == ids
    assert all(suspects[key - 2] is each for key, each in made.entries)


@pytest.mark.parametrize('kind', ['classification', 'box'])
def test_pictures_come_with_the_numbers_behind_them(kind, tmp_path):
    loss = record(kind)
    for picture in pictures_of(loss, CLASSES, (8, 16, 32), per_class=True):
        files = picture.save(tmp_path)
        assert [file.suffix for file in files] == ['.png', '.svg', '.csv']
        with files[-1].open(newline='') as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == REGIONS
        assert float(rows[0]['from']) == 0 and float(rows[-1]['to']) == 1
        if picture.name.endswith('levels'):
            drawn = torch.tensor([[float(row[f'stride {s}']) for s in (8, 16, 32)] for row in rows])
            torch.testing.assert_close(drawn.long().T, loss.counts.sum((1, 2)))
        if picture.name == 'bbox_head_loss_cls':
            drawn = [float(row['positives']) for row in rows]
            assert drawn == loss.by_sign[1].tolist()
            drawn = [float(row['share of the gradient under GHM-C']) for row in rows]
            assert sum(drawn) == pytest.approx(1, abs=1e-4)


def test_classes_are_drawn_on_request_and_levels_where_there_are_several():
    def names(**options):
        loss = record('classification', calls=options['calls'])
        return [each.name for each in pictures_of(loss, CLASSES, (8, 16), options['per_class'])]

    assert names(calls=1, per_class=False) == ['bbox_head_loss_cls']
    assert names(calls=2, per_class=False)[1:] == ['bbox_head_loss_cls_levels']
    assert names(calls=1, per_class=True)[1:] == ['bbox_head_loss_cls_classes']


def test_the_same_record_gives_the_same_files(tmp_path):
    contents = []
    for folder in (tmp_path / 'a', tmp_path / 'b'):
        folder.mkdir()
        for picture in pictures_of(record('classification'), CLASSES, (8,), per_class=True):
            picture.save(folder)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
