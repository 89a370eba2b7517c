"""The checkpoint that a run starts from: whole, and the newest that is."""

import os

import pytest
import torch
from mmengine.config import Config

from ghm_mmdet.cli import checkpoint as checkpoint_module
from ghm_mmdet.cli.checkpoint import check_checkpoint, set_resume
from ghm_mmdet.cli.config import ConfigError


@pytest.fixture(params=[True, False], ids=['zip', 'pickle'])
def checkpoint(request, tmp_path):
    path = tmp_path / 'model.pth'
    torch.save({'weight': torch.zeros(100)}, path, _use_new_zipfile_serialization=request.param)
    return path


def test_checkpoints_of_torch(checkpoint):
    check_checkpoint(str(checkpoint), 'checkpoint')


@pytest.mark.parametrize('address', ['https://host/model.pth', 'torchvision://resnet50'])
def test_addresses_are_left_to_mmengine(address):
    check_checkpoint(address, 'load_from')


def test_cut_off_while_written(tmp_path):
    path = tmp_path / 'model.pth'
    torch.save({'weight': torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ConfigError, match=f'--resume {path}: no checkpoint, or cut off'):
        check_checkpoint(str(path), '--resume')


@pytest.mark.parametrize('content', [b'', b'<html>404</html>'])
def test_other_files(tmp_path, content):
    path = tmp_path / 'model.pth'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match='no checkpoint'):
        check_checkpoint(str(path), 'checkpoint')


def test_folder(tmp_path):
    with pytest.raises(ConfigError, match='no such checkpoint file; name an existing one'):
        check_checkpoint(str(tmp_path), 'checkpoint')


def write(path, whole=True):
    torch.save({'weight': torch.zeros(100)}, path)
    if not whole:
        path.write_bytes(path.read_bytes()[:-30])


def resumed(work_dir, resume='auto', **hook):
    cfg = Config(dict(work_dir=str(work_dir), default_hooks=dict(checkpoint=hook)))
    set_resume(cfg, resume)
    assert cfg.resume is (cfg.load_from is not None)
    return cfg.load_from


def test_resume_takes_the_file_that_is_named(tmp_path):
    assert resumed(tmp_path, 'some.pth') == 'some.pth'


@pytest.mark.parametrize('whole', [True, False])
def test_fine_tuning_starts_from_its_weights_until_there_is_something_to_resume(tmp_path, whole):
    write(tmp_path / 'epoch_1.pth', whole)
    cfg = Config(dict(work_dir=str(tmp_path), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    expected = str(tmp_path / 'epoch_1.pth') if whole else 'pretrained.pth'
    assert (cfg.load_from, cfg.resume) == (expected, whole)


@pytest.mark.parametrize('unit', ['epoch', 'iter'])
def test_resume_takes_the_newest_whole_checkpoint_and_names_those_that_are_not(tmp_path, unit):
    write(tmp_path / 'best_coco_bbox_mAP_epoch_99.pth')
    assert resumed(tmp_path) is None
    for number, whole in ((2, True), (9, True), (10, False), (11, False)):
        write(tmp_path / f'{unit}_{number}.pth', whole)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / f'{unit}_11.pth'))
    assert resumed(tmp_path) == str(tmp_path / f'{unit}_9.pth')


def test_passed_over_checkpoints_are_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoint_module, 'print_log', lambda text, *_: said.append(text))
    write(tmp_path / 'epoch_1.pth')
    write(tmp_path / 'epoch_2.pth', whole=False)
    resumed(tmp_path)
    assert said == [f'{tmp_path / "epoch_2.pth"}: cut off while it was written, passed over']


@pytest.mark.parametrize(
    ('hook', 'folder', 'name'),
    [
        (dict(), 'run', 'epoch_{}.pth'),
        (dict(out_dir='{root}/out'), 'out/run', 'epoch_{}.pth'),
        (dict(filename_tmpl='model-{:03d}.pth'), 'run', 'model-{:03d}.pth'),
        (dict(out_dir='{root}/out', filename_tmpl='it[{}].pth'), 'out/run', 'it[{}].pth'),
    ],
)
@pytest.mark.parametrize('is_noted', [True, False])
def test_resume_finds_checkpoints_where_the_hook_writes_them(
    tmp_path, hook, folder, name, is_noted
):
    (tmp_path / 'run').mkdir()
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    paths = [tmp_path / folder / name.format(number) for number in (2, 10)]
    for path in paths:
        write(path)
    if is_noted:
        (tmp_path / 'run' / 'last_checkpoint').write_text(str(paths[1]))
    hook = {key: value.replace('{root}', str(tmp_path)) for key, value in hook.items()}
    assert resumed(tmp_path / 'run', **hook) == str(paths[1])
    write(paths[1], whole=False)
    assert resumed(tmp_path / 'run', **hook) == str(paths[0])


def test_resume_goes_by_what_was_written_last_wherever_that_is(tmp_path):
    write(tmp_path / 'epoch_3.pth')
    write(tmp_path / 'elsewhere.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'elsewhere.pth'))
    assert resumed(tmp_path) == str(tmp_path / 'elsewhere.pth')
    (tmp_path / 'last_checkpoint').write_text('/gone/elsewhere.pth')  # as of a run that was moved
    assert resumed(tmp_path) == str(tmp_path / 'elsewhere.pth')
    (tmp_path / 'last_checkpoint').write_text('/gone/epoch_9.pth')
    assert resumed(tmp_path) == str(tmp_path / 'epoch_3.pth')


def test_checkpoints_that_an_older_run_has_left_are_not_resumed(tmp_path):
    for age, name in enumerate(['epoch_12.pth', 'iter_500.pth', 'epoch_2.pth', 'epoch_3.pth']):
        write(tmp_path / name)
        os.utime(tmp_path / name, (age, age))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    # the third epoch was written, and the run killed before it could note so
    assert resumed(tmp_path) == str(tmp_path / 'epoch_3.pth')
    write(tmp_path / 'epoch_3.pth', whole=False)
    assert resumed(tmp_path) == str(tmp_path / 'epoch_2.pth')


def test_folders_of_deepspeed(tmp_path):
    folder = tmp_path / 'epoch_1.pth'
    folder.mkdir()
    (folder / 'mp_rank_00_model_states.pt').write_bytes(b'')
    assert resumed(tmp_path) == str(folder)
    assert check_checkpoint(str(folder), '--resume') is None


def test_a_resume_that_finds_nothing_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoint_module, 'print_log', lambda text, *_: said.append(text))
    cfg = Config(dict(work_dir=str(tmp_path), load_from='pretrained.pth'))
    set_resume(cfg, 'auto')
    (line,) = said
    assert line.startswith(f'--resume: {tmp_path} has no complete checkpoint')
    assert 'from the beginning, with the weights of pretrained.pth; to resume' in line


def test_resume_starts_from_the_beginning_without_a_whole_checkpoint(tmp_path):
    assert resumed(tmp_path / 'none') is None
    write(tmp_path / 'epoch_1.pth', whole=False)
    assert resumed(tmp_path) is None
