"""What tests of several tools share."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope


@pytest.fixture
def checkpoint(tmp_path):
    """Random weights of a config's detector."""

    def make(config):
        init_default_scope('mmdet')
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config).model)
        model.init_weights()  # a DETR's level embedding is uninitialised memory until then
        path = tmp_path / 'random.pth'
        torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=12)), path)
        return path

    return make
