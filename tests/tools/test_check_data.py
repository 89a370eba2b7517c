"""tools/check_data.py: what it prints, and what it returns to a shell."""

import json
import shutil

import pytest

from tools.check_data import main


@pytest.fixture
def own_pictures(coco_folder, edit_json):
    """Each split with pictures of its own, so that nothing is to be said of them."""
    for split in ('val', 'test'):
        for path in (coco_folder / 'images').glob('?.png'):
            shutil.copy(path, path.with_name(f'{split}{path.name}'))
        edit_json(
            coco_folder / 'annotations' / f'instances_{split}.json',
            lambda content, split=split: [
                image.update(file_name=f'{split}{image["file_name"]}')
                for image in content['images']
            ],
        )
    return coco_folder


@pytest.fixture
def annotations(own_pictures):
    return own_pictures / 'annotations' / 'instances_train.json'


@pytest.fixture(params=['config', 'files'])
def check(request, small_config, own_pictures, capsys):
    """Exit code and content, of a config or of its three files without it."""

    def run(*arguments):
        files = [own_pictures / f'annotations/instances_{s}.json' for s in ('train', 'val', 'test')]
        what = [small_config]
        if request.param == 'files':
            what = ['--ann', *files, '--images', own_pictures / 'images']
        code = main([*map(str, what), '--json', *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_good_data(check):
    code, content = check()
    assert (code, content['errors'], content['warnings']) == (0, [], [])
    train, *others = content['data_sets']
    assert len(others) == 2
    assert (train['pictures'], train['objects']) == (8, 8)
    assert train['classes'] == {'RBC': 3, 'WBC': 3, 'Platelets': 2}
    assert train['picture widths'] == [64, 64, 64]


def test_surprises(check, annotations, edit_json):
    edit_json(annotations, lambda content: content['annotations'][0].update(iscrowd=1))
    code, content = check()
    assert (code, content['errors']) == (1, [])
    assert len(content['warnings']) == 1
    assert content['data_sets'][0]['not trained on'] == {'iscrowd': 1}
    assert content['data_sets'][0]['objects'] == 7


def test_errors_of_all_files(check, annotations, own_pictures, edit_json):
    edit_json(annotations, lambda content: content['annotations'][0].update(iscrowd='0'))
    (own_pictures / 'images' / 'val3.png').unlink()
    code, content = check()
    assert code == 2
    assert len(content['errors']) == 2
    assert [len(each['classes']) for each in content['data_sets']] == [3, 3]


@pytest.mark.parametrize(('option', 'code'), [('--pictures', 0), ('--decode', 2)])
def test_a_picture_that_is_none_is_found_by_decoding(check, own_pictures, option, code):
    path = own_pictures / 'images' / '3.png'
    # header and end are whole, what lies between is not
    content = path.read_bytes()
    begun = content.index(b'IDAT') + 8
    path.write_bytes(content[:begun] + bytes(len(content) - begun - 20) + content[-20:])
    found, content = check(option)
    assert found == code
    assert any(f'cannot be decoded, [{str(path)!r}]' in each for each in content['errors']) == (
        code > 0
    )


def test_another_number_of_classes_than_the_head(small_config, own_pictures, capsys):
    code = main([str(small_config), '--cfg-options', 'model.bbox_head.num_classes=80'])
    assert code == 2
    assert 'num_classes=80: must be 3' in capsys.readouterr().out


PART = 'model.backbone.init_cfg'


@pytest.mark.parametrize('content', [None, b'<html>404</html>'], ids=['missing', 'no checkpoint'])
@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('load_from', []),
        (f'{PART}.checkpoint', [f'{PART}._delete_=True', f'{PART}.type=Pretrained']),
    ],
)
def test_weights_that_training_would_miss(
    small_config, own_pictures, tmp_path, capsys, name, options, content
):
    path = tmp_path / 'weights.pth'
    if content is not None:
        path.write_bytes(content)
    assert main([str(small_config), '--cfg-options', *options, f'{name}={path}']) == 2
    out = capsys.readouterr().out
    assert f'error: {name} {path}: no ' in out
    assert '1 error, 0 warnings' in out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['none.py'], 'config none.py: no such file'),
        (['--ann', 'none.json'], 'none.json: no such annotation file'),
        (['--ann', 'a.json', '--images', 'b', 'c'], '2 folders for 1 files; name one, or one for'),
    ],
)
def test_what_is_not_there(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [[], ['small.py', '--ann', 'a.json']])
def test_neither_or_both(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert 'name a config, or --ann FILE' in capsys.readouterr().err


def test_pictures_to_predict_on(annotations, own_pictures, edit_json, capsys):
    edit_json(annotations, lambda content: content.pop('annotations'))
    assert main(['--ann', str(annotations), '--images', str(own_pictures / 'images')]) == 1
    assert 'it can be predicted on' in capsys.readouterr().out


def test_what_a_person_sees(run_tool, small_config, own_pictures, annotations, edit_json):
    edit_json(annotations, lambda content: content['annotations'][0].update(area=0))
    done = run_tool('check_data.py', small_config, '--pictures')
    assert done.returncode == 1
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ['train', 'val', 'test'] in rows
    assert ['pictures', '8', '8', '8'] in rows
    assert ['RBC', '2', '3', '3'] in rows
    warning, total = done.stdout.splitlines()[-2:]
    assert warning.startswith(f'warning: {annotations}: 1 of 8 annotations are not trained on')
    assert total == '0 errors, 1 warning'
    assert '100%' in done.stderr
