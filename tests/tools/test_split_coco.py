"""tools/split_coco.py: files that pycocotools reads, a table that is right, no file lost."""

import json
import re

import pytest
from pycocotools.coco import COCO

from tools.split_coco import main, scene_hint

SCENE = r'00041|12.00|video-?\d+|IMG_\d+|images/./'
SINGLE = ('{}.jpg', '{:04}.jpg', 'BloodImage_{:05}_jpg.rf.jpg', 'images/img-{:04}_a.png')
FILE = 'annotations/instances_train.json'


@pytest.fixture
def split(data_folder, tmp_path, monkeypatch, capsys):
    """Split a real data set's file; returns the parts and the printed lines."""
    monkeypatch.chdir(tmp_path)

    def run(name='cards', *options, out='my split'):
        main([str(data_folder(name) / FILE), out, *options])
        lines = capsys.readouterr().out.splitlines()
        parts = {path.stem: COCO(str(path)) for path in sorted((tmp_path / out).iterdir())}
        return parts, lines

    return run


def test_the_table_says_what_is_in_the_files(split, capsys):
    parts, lines = split('cards', '--parts', '0.6', '0.2', '0.2', '--seed', '3')
    parts = [parts[f'instances_{name}'] for name in ('train', 'val', 'test')]
    rows = {}
    for line in lines:
        name, *cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == 3 and cells[0].endswith('%)'):
            rows[name] = cells
    assert list(rows) == ['images', 'objects', *(each['name'] for each in parts[0].cats.values())]

    def cells(counts):
        return [f'{count} ({100 * count / sum(counts):.1f}%)' for count in counts]

    assert rows['images'] == cells([len(part.imgs) for part in parts])
    assert rows['objects'] == cells([len(part.anns) for part in parts])
    for number, category in parts[0].cats.items():
        assert rows[category['name']] == cells([len(part.catToImgs[number]) for part in parts])
    assert lines[-3:] == [f'my split/instances_{name}.json' for name in ('train', 'val', 'test')]


@pytest.mark.parametrize('parts', [('0.7', '0.3'), ('0.7', '0.3', '0')])
def test_the_third_part_may_be_left_out(split, parts):
    files, _ = split('cards', '--parts', *parts)
    assert list(files) == ['instances_train', 'instances_val']


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file as Label Studio writes it on Windows: ids and backslashes; one class is not used."""
    monkeypatch.chdir(tmp_path)
    content = {
        'info': {'contributor': 'Label Studio', 'description': 'Größe'},
        'images': [
            {'id': i, 'file_name': f'images\\{i}.jpg', 'width': 9, 'height': 9} for i in range(20)
        ],
        'annotations': [
            dict(id=i, image_id=i, category_id=i // 19, bbox=[1, 1, 2, 2], area=4, iscrowd=0)
            for i in range(20)
        ],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(('cup', 'jar', 'lid'))],
    }
    (tmp_path / 'result.json').write_text(json.dumps(content))
    return content


def test_what_was_changed_and_what_is_missing_is_said(source, tmp_path, capsys):
    main(['result.json', 'split'])
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith('note: ')]
    words = ["20 file names, such as 'images\\\\0.jpg'", 'numbered from 1', 'no part has an object']
    words += ["val does not have an object of ['jar']", "test does not have an object of ['jar']"]
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes))
    ids = []
    for name in ('train', 'val', 'test'):
        part = json.loads((tmp_path / f'split/instances_{name}.json').read_text('utf-8'))
        ids += [each['id'] for each in part['annotations']]
        assert part['info'] == source['info'] and part['categories'] == source['categories']
    assert sorted(ids) == list(range(1, 21))


SCENES = {
    'boards': [f'{board}{i:03}.jpg' for board in ('00041', '12000', '12100') for i in range(40)],
    'boards, twice': [
        f'{board}{i:03}_x.jpg' for board in ('00041', '12000', '12100') for i in range(130)
    ],
    'videos': [f'video{k}_frame{i}.jpg' for k in range(12) for i in range(9)],
    'videos, with -': [f'video-{k}-{i}.jpg' for k in range(12) for i in range(9)],
    'days': [f'IMG_202304{k:02}_12{i:04}.jpg' for k in range(1, 13) for i in range(9)],
    'folders': [f'images/{k}/{i}.jpg' for k in 'abc' for i in range(9)],
}
COUNTED = {f'{n} {form}': (form, n) for form in SINGLE for n in (1, 12, 100, 101, 250, 1300)}


@pytest.mark.parametrize('names', SCENES.values(), ids=SCENES)
def test_names_of_scenes_are_seen_and_the_pattern_keeps_scenes_whole(names):
    scenes = {name: re.match(SCENE, name)[0] for name in names}
    pattern = re.search('--group "(.+)"$', scene_hint(names))[1]
    groups = {name: re.search(pattern, name)[0] for name in names}
    assert len({*groups.values()}) == len({*scenes.values()})
    assert len({*zip(scenes.values(), groups.values())}) == len({*scenes.values()})


@pytest.mark.parametrize(('form', 'n'), COUNTED.values(), ids=COUNTED)
def test_names_that_count_on_are_no_scenes(form, n):
    assert scene_hint([form.format(i) for i in range(n)]) == ''


@pytest.mark.parametrize('options', [[], ['--group', '.+']])
def test_the_hint_is_given_only_without_a_group(source, tmp_path, capsys, options):
    for image in source['images']:
        image['file_name'] = f'{image["id"] // 5}_{image["id"]}.jpg'
    (tmp_path / 'result.json').write_text(json.dumps(source))
    main(['result.json', 'split', *options])
    assert ('split by them: --group "^[^_]+"' in capsys.readouterr().out) is (not options)


@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_file_that_is_there_stays_and_no_other_is_written(source, tmp_path, name):
    (tmp_path / 'split').mkdir()
    there = tmp_path / f'split/instances_{name}.json'
    there.write_text('mine')
    with pytest.raises(SystemExit, match=f'{there.name}: exists already; remove it or name'):
        main(['result.json', 'split', '--parts', '0.5', '0.5'])
    assert there.read_text() == 'mine'
    assert list(there.parent.iterdir()) == [there]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--parts', '1'], '--parts 1: must be the fractions of train and val'),
        (['--parts', '0.5', '0.4'], 'their sum must be 1'),
        (['--parts', '0.5', '0.3', '0.1', '0.1'], '--parts 0.5 0.3 0.1 0.1: must be'),
        (['--parts', '1', '0', '0'], '--parts 1 0 0: must be'),
        (['--parts', '1.5', '-0.5'], '--parts 1.5 -0.5: must be'),
        (['--parts', 'nan', '0.5'], '--parts nan 0.5: must be'),
        (['--seed', '-1'], '--seed -1: must be 0 or more'),
        (['--group', '(a'], "--group '(a': not a regular expression: missing )"),
        (['--group', 'b'], "'images/0.jpg', have no match for the pattern of groups 'b'"),
        (['--group', 'images'], '20 pictures in 1 groups that stay together leave val without'),
    ],
    ids=lambda each: ' '.join(each) if isinstance(each, list) else '',
)
def test_bad_arguments_get_one_line_and_no_file(source, tmp_path, options, message):
    with pytest.raises(SystemExit) as error:
        main(['result.json', 'split', *options])
    assert message in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'split').exists()


@pytest.mark.parametrize('out', ['result.json', 'result.json/below'])
def test_a_folder_that_cannot_be_made_gets_one_line(source, tmp_path, out):
    before = (tmp_path / 'result.json').read_bytes()
    with pytest.raises(SystemExit, match=f'{out}: cannot be made: ') as error:
        main(['result.json', out])
    assert '\n' not in str(error.value)
    assert (tmp_path / 'result.json').read_bytes() == before


def test_the_tool_runs(source, run_tool):
    done = run_tool('split_coco.py', 'result.json', 'split')
    assert (done.returncode, done.stderr) == (0, '')
    assert 'split/instances_test.json' in done.stdout
