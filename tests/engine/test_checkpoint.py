"""Checks of checkpoint files."""

import pytest
import torch

from ghm_mmdet.engine.checkpoint import check_checkpoint
from ghm_mmdet.engine.config import ConfigError


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
    with pytest.raises(ConfigError, match='no such checkpoint file'):
        check_checkpoint(str(tmp_path), 'checkpoint')
