"""Records of a model's losses against counts taken by hand."""

import pytest
import torch

from ghm_mmdet.diagnosis.loss_reader import loss_readers
from ghm_mmdet.diagnosis.recorder import LossRecorder
from ghm_mmdet.losses import GHMCLoss


class Detector(torch.nn.Module):
    """The smallest thing with mmdet's calling convention; its logits are its inputs."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2, affine=False)
        self.loss_cls = GHMCLoss(use_sigmoid=True, bins=5, momentum=0.5)

    def forward(self, inputs, labels, mode):
        assert mode == 'loss'
        return dict(loss=self.loss_cls(self.norm(inputs), labels))


@pytest.mark.parametrize('regions', [4, 50])
def test_counts_add_up_over_batches(regions):
    generator = torch.Generator().manual_seed(0)
    labels = torch.full((30,), 2)
    batches = [
        dict(inputs=torch.randn(30, 2, generator=generator) * scale, labels=labels)
        for scale in (1, 3)
    ]
    model = Detector()
    average = model.loss_cls.density.moving_average.clone()
    with torch.no_grad(), LossRecorder(loss_readers(model, regions)) as recorder:
        for batch in batches:
            recorder.start_iteration()
            model(**batch, mode='loss')
    records = recorder.records()
    torch.testing.assert_close(model.loss_cls.density.moving_average, average)

    oracle = torch.zeros(regions)
    for batch in batches:
        x = batch['inputs']
        logits = (x - x.mean(0)) / (x.var(0, unbiased=False) + model.norm.eps).sqrt()
        oracle += torch.histc(logits.sigmoid(), regions, 0, 1)
    assert records.keys() == {'loss_cls'}
    torch.testing.assert_close(records['loss_cls'].by_sign.sum(0), oracle.long())
    assert len(records['loss_cls'].counts) == 1
