"""tools/correct_labels.py: labels that a detector contradicts get its class, others stay."""

import json

import pytest

from ghm_mmdet.datasets.coco_file import read_coco_file
from gradient_report.label_errors import Suspect
from gradient_report.suspect_file import coco_of_suspects
from studies.plant_errors import main as plant
from tools.correct_labels import main


@pytest.fixture
def noisy(coco_folder, tmp_path, monkeypatch):
    """Planted wrong labels in 'noisy.json', and a detector's word on them in 'worst.json'.

    The detector sees the true class of every object, and of the mislabelled ones it is the surer
    the larger the id.
    """
    monkeypatch.chdir(tmp_path)
    plant([str(coco_folder / 'annotations/instances_train.json'), 'noisy.json', '--label-noise=.5'])
    content = read('noisy.json')
    classes = [each['name'] for each in content['categories']]
    suspects = [judged(each) for each in content['annotations']]
    write('worst.json', coco_of_suspects(suspects, classes, content))
    return content


def judged(annotation):
    label = annotation['category_id'] - 1
    true = annotation.get('true_category_id', annotation['category_id']) - 1
    x, y, width, height = annotation['bbox']
    norm = 0.1 if true == label else 0.6 + annotation['id'] / 100
    seen = (None, 0.0) if true == label else (true, norm)
    box = (x, y, x + width, y + height)
    score = 1 - 2 * norm + seen[1]
    return Suspect(annotation['image_id'], 'x.png', (48, 64), box, label, score, *seen, norm)


def read(path):
    with open(path) as file:
        return json.load(file)


def write(path, content):
    with open(path, 'w') as file:
        json.dump(content, file)


def test_a_detector_that_is_right_undoes_wrong_labels(noisy, coco_folder, capsys):
    main(['noisy.json', 'worst.json', 'new.json'])
    new = read_coco_file('new.json').annotations
    true = read_coco_file(str(coco_folder / 'annotations/instances_train.json')).annotations
    assert [each['category_id'] for each in new] == [each['category_id'] for each in true]
    assert 'new.json: 8 annotations, 8 judged, 4 with another class' in capsys.readouterr().out


def test_all_but_the_changed_classes_is_as_it_was(noisy):
    main(['noisy.json', 'worst.json', 'new.json'])
    new = read('new.json')
    for each in new['annotations']:
        each['category_id'] = each.pop('annotated_category_id', each['category_id'])
    assert new == noisy == read('noisy.json')


def test_above_is_how_sure_the_detector_has_to_be(noisy):
    wrong = sorted(each['id'] for each in noisy['annotations'] if 'true_category_id' in each)
    main(['noisy.json', 'worst.json', 'new.json', '--above', str(0.6 + wrong[1] / 100)])
    changed = [each for each in read('new.json')['annotations'] if 'annotated_category_id' in each]
    assert sorted(each['id'] for each in changed) == wrong[2:]


def test_an_object_that_the_detector_does_not_see_keeps_its_class(noisy):
    worst = read('worst.json')
    for each in worst['annotations']:
        each.update(gradient_norm=0.5, believed_category_id=None, label_score=0, believed_score=0)
    write('worst.json', worst)
    main(['noisy.json', 'worst.json', 'new.json', '--above', '0.4'])
    assert read('new.json') == noisy


def test_a_second_round_keeps_the_first_label_on_record(noisy, capsys):
    main(['noisy.json', 'worst.json', 'once.json'])
    once = read('once.json')
    worst = read('worst.json')
    category = {each['id']: each['category_id'] for each in once['annotations']}
    for each in worst['annotations']:
        former = each['category_id']
        each.update(category_id=category[each['id']], believed_category_id=former)
    write('worst.json', worst)
    main(['once.json', 'worst.json', 'twice.json'])
    twice = read('twice.json')
    first = {each['id']: each['category_id'] for each in noisy['annotations']}
    for each in twice['annotations']:
        assert each['category_id'] == each.get('annotated_category_id', each['category_id'])
        assert each['category_id'] == first[each['id']]
    assert '8 judged, 4 with another class' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize('ids', [{3: 'a'}, {i: f'a{i}' for i in range(8)}], ids=['some', 'all'])
def test_ids_may_be_text_and_a_category_may_have_no_objects(noisy, coco_folder, ids):
    source = read(coco_folder / 'annotations/instances_train.json')
    for content in (noisy, source):
        content['categories'].insert(0, {'id': 0, 'name': 'cells', 'supercategory': 'none'})
        for each in content['annotations']:
            each['id'] = ids.get(each['id'], each['id'])
    write('mixed.json', noisy)
    worst = read('worst.json')
    for each in worst['annotations']:
        each['id'] = ids.get(each['id'], each['id'])
    write('worst.json', worst)
    main(['mixed.json', 'worst.json', 'new.json'])
    new = read('new.json')
    assert new['categories'] == source['categories']
    for corrected, true in zip(new['annotations'], source['annotations']):
        corrected.pop('annotated_category_id', None)
        corrected.pop('true_category_id', None)
        assert corrected == true


def _no_norm(worst):
    del worst['annotations'][0]['gradient_norm']


def _no_category(worst):
    worst['annotations'][0]['believed_category_id'] = 99


def _other_objects(worst):
    for each in worst['annotations']:
        each['id'] += 100


def _other_labels(worst):
    worst['annotations'][0]['category_id'] = worst['annotations'][0]['category_id'] % 3 + 1


def _other_images(worst):
    first, second = worst['annotations'][:2]
    first['image_id'], second['image_id'] = second['image_id'], first['image_id']


def _other_categories(worst):
    worst['categories'][0]['name'] = 'other'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (_no_norm, 'has gradient_norm=None and'),
        (_no_category, 'and believed_category_id=99; must be a number, and a category or null'),
        (_other_objects, 'has none of the annotations of noisy.json; the report is about another'),
        (_other_labels, 'must be about the same labels'),
        (_other_images, 'must be about the same labels: name the file of its --split'),
        (_other_categories, 'worst.json: has other categories than noisy.json'),
    ],
)
def test_a_report_on_something_else_is_refused(noisy, tmp_path, change, message):
    worst = read('worst.json')
    change(worst)
    write('worst.json', worst)
    with pytest.raises(SystemExit) as error:
        main(['noisy.json', 'worst.json', 'new.json'])
    assert message in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'new.json').exists()


@pytest.mark.parametrize('above', ['-0.1', '1.5', 'nan'])
def test_above_out_of_range_gets_one_line(noisy, tmp_path, above):
    with pytest.raises(SystemExit, match=r'--above=.*: must be a number in'):
        main(['noisy.json', 'worst.json', 'new.json', f'--above={above}'])
    assert not (tmp_path / 'new.json').exists()


def test_a_file_that_is_there_stays(noisy):
    with pytest.raises(SystemExit, match='exists already; remove it or name another file'):
        main(['noisy.json', 'worst.json', 'noisy.json'])
    assert read('noisy.json') == noisy


def _named(name):
    return lambda worst: worst.update(info={'list': name})


def _g_of(formula):
    def change(worst):
        for each in worst['annotations']:
            p, other = each['label_score'], each['believed_score']
            each['gradient_norm'] = round(formula(p, other), 4)

    return change


@pytest.mark.parametrize(
    ('change', 'name'),
    [
        (_named('unseen'), 'unseen'),
        (_named('badly_placed'), 'badly_placed'),
        (_named('unannotated'), 'unannotated'),
        (_g_of(lambda p, other: 1 - max(p, other)), 'another list'),
        (_g_of(lambda p, other: (1 - p) * max(other, p) * 0.6), 'another list'),
        (_named('worst_labels'), None),
        (_named(None), None),
        (lambda worst: [each.pop('label_score') for each in worst['annotations']], None),
    ],
    ids=[
        'unseen',
        'badly',
        'unannotated',
        'unnamed unseen',
        'unnamed badly',
        'own',
        'unnamed',
        'no scores',
    ],
)
def test_the_other_lists_of_a_report_are_refused(noisy, tmp_path, change, name):
    worst = read('worst.json')
    change(worst)
    write('worst.json', worst)
    if name is None:
        main(['noisy.json', 'worst.json', 'new.json'])
        return
    with pytest.raises(SystemExit, match=f'worst.json: is {name}, .*; name worst_labels') as error:
        main(['noisy.json', 'worst.json', 'new.json'])
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'new.json').exists()


@pytest.mark.parametrize('printed', [20, 4, 3])
def test_changes_are_printed_the_surest_first(noisy, capsys, monkeypatch, printed):
    monkeypatch.setattr('tools.correct_labels.PRINTED', printed)
    main(['noisy.json', 'worst.json', 'new.json'])
    *lines, _ = capsys.readouterr().out.splitlines()[-1 - min(printed, 4) - (printed < 4) :]
    names = {each['id']: each['name'] for each in noisy['categories']}
    wrong = [each for each in reversed(noisy['annotations']) if 'true_category_id' in each]
    assert lines[:printed] == [
        f'id {each["id"]}, {each["image_id"]}.png: {names[each["category_id"]]} -> '
        f'{names[each["true_category_id"]]}, g {0.6 + each["id"] / 100:.3f}'
        for each in wrong[:printed]
    ]
    assert lines[printed:] == ['... and 1 more'] * (printed == 3)


@pytest.mark.parametrize('judged', [8, 7, 1])
def test_labels_that_were_not_judged_are_counted(noisy, capsys, judged):
    content = read('noisy.json')  # of these none is an object that MMDetection shows the detector
    for number, more in enumerate([{'iscrowd': 1}, {'ignore': 1}, {'bbox': [1, 1, 0.5, 9]}], 50):
        content['annotations'].append({**content['annotations'][0], 'id': number, **more})
    write('noisy.json', content)
    worst = read('worst.json')
    worst['annotations'] = worst['annotations'][:judged]
    write('worst.json', worst)
    capsys.readouterr()
    main(['noisy.json', 'worst.json', 'new.json'])
    said = f'only {judged} of 8 labels were judged; make the report with --worst 8'
    assert (said in capsys.readouterr().err) == (judged < 8)


@pytest.mark.parametrize('indent', [None, 1, 4, '\t'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_the_file_looks_like_its_source(noisy, tmp_path, indent, encoding):
    noisy['info'] = {'of': 'Körner 粒 \ud800'}
    text = json.dumps(noisy, indent=indent).replace('\\u00f6', 'ö')
    (tmp_path / 'noisy.json').write_text(text, encoding=encoding)
    main(['noisy.json', 'worst.json', 'new.json', '--above', '1'])
    wanted = json.dumps(noisy, indent=indent, ensure_ascii=False)
    new = (tmp_path / 'new.json').read_bytes()
    assert new == wanted.encode('utf-8', 'backslashreplace')
    assert json.loads(new) == noisy
