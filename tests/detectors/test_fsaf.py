"""MMDetection's FSAF head, which hands over a weight for every (anchor, class) pair in a row."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import GHMC
from mmdet.registry import MODELS
from mmengine.hub import get_config
from mmengine.registry import init_default_scope

from tests.detectors.cases import NUM_CLASSES, ONE_STAGE
from tests.detectors.test_losses import IMAGES, total_loss


@pytest.fixture
def fsaf():
    init_default_scope('mmdet')
    config = get_config('mmdet::fsaf/fsaf_r50_fpn_1x_coco.py')
    config.merge_from_dict(dict(model=deepcopy(ONE_STAGE)))
    loss_cls = dict(type='GHMCLoss', use_sigmoid=True, bins=10, reduction='none')
    config.model.bbox_head.loss_cls = loss_cls
    torch.manual_seed(0)
    detector = MODELS.build(config.model)
    detector.init_weights()
    return detector.train()


def watch(loss, calls):
    def after(loss, arguments, output):
        arguments[0].retain_grad()
        calls.append((*arguments, output))

    loss.register_forward_hook(after)


@pytest.mark.parametrize('boxes', IMAGES.values(), ids=IMAGES.keys())
def test_the_loss_of_each_pair_is_mmdets_with_the_weights_spelt_out(fsaf, batch, boxes):
    calls = []
    watch(fsaf.bbox_head.loss_cls, calls)
    total_loss(fsaf, *batch(*boxes)).backward()
    assert len(calls) == 5
    for logits, labels, weight, losses in calls:
        assert weight.shape == (logits.numel(),)
        assert logits.grad.isfinite().all() and logits.grad.any()
        one_hot = F.one_hot(labels, NUM_CLASSES + 1)[:, :-1]
        oracle = GHMC(bins=10, reduction='none')(logits, one_hot, weight.view_as(logits))
        torch.testing.assert_close(losses, oracle, rtol=1e-5, atol=1e-6)
    ignored = torch.cat([weight for _, _, weight, _ in calls]) == 0
    assert ignored.any() == any(map(len, boxes))
