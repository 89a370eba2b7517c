"""Reading annotation files: what is in them, and what a broken one gets."""

import codecs
import json

import pytest
from pycocotools.coco import COCO

from ghm_mmdet.datasets.coco_file import encoding_of, load_coco_file, read_coco_file
from ghm_mmdet.datasets.findings import DataError, Findings


@pytest.fixture
def path(coco_folder):
    return coco_folder / 'annotations' / 'instances_train.json'


@pytest.mark.parametrize(
    'name',
    ['tiny_coco/annotations/instances_train2017.json', 'bccd/annotations/instances_val.json'],
)
def test_holds_what_pycocotools_reads(data_folder, name):
    folder, _, rest = name.partition('/')
    path = str(data_folder(folder) / rest)
    file, oracle = read_coco_file(path), COCO(path)
    assert file.images == oracle.imgs
    assert {entry['id']: entry for entry in file.annotations} == oracle.anns
    assert list(file.categories.items()) == [(c['name'], i) for i, c in oracle.cats.items()]


def first(part, **values):
    return lambda content: content[part][0].update(values)


BROKEN = {
    'no categories': (lambda content: content.pop('categories'), "'categories' is not there"),
    'annotations are a dict': (
        lambda content: content.update(annotations={}),
        "'annotations' is no list",
    ),
    'image without a name': (
        lambda content: content['images'][3].pop('file_name'),
        r"images\[3\] has no 'file_name'",
    ),
    'image without a size': (first('images', width=None), 'image 0 has width=None; must be'),
    'image of no height': (first('images', height=0), 'image 0 has height=0; must be'),
    'image with a number for a name': (first('images', file_name=7), 'image 0 has file_name=7'),
    'two images of one id': (first('images', id=1), r'images\[1\] repeats id=1'),
    'box is no annotation': (
        lambda content: content['annotations'].insert(2, [0, 0, 1, 1]),
        r"annotations\[2\] has no 'id'",
    ),
    'annotation without a box': (
        lambda content: content['annotations'][0].pop('bbox'),
        r"annotations\[0\] has no 'bbox'",
    ),
    'annotation without an area': (
        lambda content: content['annotations'][0].pop('area'),
        r"annotations\[0\] has no 'area'",
    ),
    'two annotations of one id': (first('annotations', id=7), r'annotations\[6\] repeats id=7'),
    'annotation of an unknown image': (first('annotations', image_id=99), 'has image_id=99'),
    'annotation of an unknown category': (first('annotations', category_id=9), 'has category_id=9'),
    'category id is a list': (first('annotations', category_id=[1]), r'has category_id=\[1\]'),
    'id is a list': (first('annotations', id=[1]), r'has id=\[1\]'),
    'NaN in a box': (first('annotations', bbox=[0, 0, float('nan'), 1]), 'bbox=.*must be finite'),
    'infinite box': (first('annotations', bbox=[0, 0, float('inf'), 1]), 'bbox=.*must be finite'),
    'negative width': (first('annotations', bbox=[9, 9, -4, 4]), 'not negative'),
    'box of three numbers': (first('annotations', bbox=[0, 0, 4]), 'must be finite numbers'),
    'box of text': (first('annotations', bbox=['0', '0', '4', '4']), 'must be finite numbers'),
    'box is null': (first('annotations', bbox=None), 'must be finite numbers'),
    'NaN area': (first('annotations', area=float('nan')), 'area=nan; must be finite'),
    'crowd flag that is null': (first('annotations', iscrowd=None), 'iscrowd=None, null; must be'),
    'crowd flag that is NaN': (first('annotations', iscrowd=float('nan')), 'iscrowd=nan, NaN'),
    'crowd flag that is empty': (first('annotations', iscrowd=''), "iscrowd='', a text"),
    'crowd flag of text': (first('annotations', iscrowd='0'), "iscrowd='0', a text; must be the"),
    'crowd flag of two': (first('annotations', iscrowd=2), 'iscrowd=2, an integer; must be'),
    'ignored by a text': (first('annotations', ignore='0'), "ignore='0', a text"),
    'id with a decimal point': (first('annotations', id=1.0), 'id=1.0, a number with a decimal'),
    'image id as text': (first('annotations', image_id='0'), "'0', a text; must be 0, an integer"),
    'image id of pandas': (first('annotations', image_id=0.0), 'decimal point; must be 0, an int'),
    'category id as text': (first('annotations', category_id='1'), 'a text; must be 1, an integer'),
    'category without a name': (
        lambda content: content['categories'][1].pop('name'),
        r"categories\[1\] has no 'name'",
    ),
    'two categories of one name': (first('categories', name='WBC'), "name='WBC'; must be"),
}


@pytest.mark.parametrize(('change', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_in_one_line_that_names_it(path, edit_json, change, message):
    edit_json(path, change)
    with pytest.raises(DataError, match=message) as error:
        read_coco_file(str(path))
    assert str(error.value).startswith(f'{path}: ')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'[]', 'not an annotation file in COCO format.*it is a list, as of detections'),
        (b'{}', "not an annotation file in COCO format.*'images' is not there"),
        (b'', 'not JSON: .* at line 1, column 1'),
        (b'{"images": [}', 'not JSON: .* at line 1, column 13'),
        (b'{"images": "\xff\xfe\xfa"}', 'not JSON: byte .* is not UTF-8'),
        (b'[' * 100_000, 'nested too deep'),
    ],
)
def test_file_that_is_not_coco_json(path, text, message):
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_coco_file(str(path))


def test_each_kind_of_fault_is_counted_once(path, edit_json):
    def change(content):
        for each in content['annotations'][:5]:
            each['category_id'] = str(each['category_id'])
        content['annotations'][6]['bbox'] = None

    edit_json(path, change)
    findings = Findings()
    assert load_coco_file(str(path), findings) is None
    references, box = findings.errors
    assert "category_id='1', a text" in references and references.endswith('(5 in all)')
    assert 'bbox=None' in box and 'in all' not in box
    with pytest.raises(DataError, match=r'\(and 1 more; tools/check_data.py lists them\)'):
        findings.raise_error()


@pytest.mark.parametrize('harmless', [dict(iscrowd=False), dict(iscrowd=1.0), dict(ignore=None)])
def test_flags_that_harm_nobody(path, edit_json, harmless):
    edit_json(path, first('annotations', **harmless))
    assert read_coco_file(str(path))


@pytest.mark.parametrize(
    ('mark', 'encoding', 'name'),
    [
        (b'', 'utf-8', 'utf-8'),
        (codecs.BOM_UTF8, 'utf-8', 'utf-8-sig'),
        (codecs.BOM_UTF16_LE, 'utf-16-le', 'utf-16'),
        (b'', 'utf-16-be', 'utf-16-be'),
    ],
)
def test_encodings_are_told_by_the_first_bytes(path, mark, encoding, name):
    content = json.loads(path.read_text())
    content['categories'][0]['name'] = 'grün'
    path.write_bytes(mark + json.dumps(content, ensure_ascii=False).encode(encoding))
    assert read_coco_file(str(path)).content == content
    assert encoding_of(str(path)) == name


def test_pictures_to_predict_on_have_no_annotations(path, edit_json):
    edit_json(path, lambda content: content.pop('annotations'))
    file = read_coco_file(str(path))
    assert file.annotations == []
    assert 'annotations' not in file.content


@pytest.mark.parametrize('name', ['missing.json', ''])
def test_missing_file(coco_folder, name):
    with pytest.raises(DataError, match='no such annotation file'):
        read_coco_file(str(coco_folder / name))
