"""Bad arguments and bad calls: one line that names the argument, the value and what is allowed."""

import pytest
import torch

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss
from ghm_mmdet.losses.label_check import LabelCheck

SHARED = [
    ('bins', 0),
    ('bins', -3),
    ('bins', 2.5),
    ('bins', True),
    ('bins', 'ten'),
    ('momentum', -0.1),
    ('momentum', 1),
    ('momentum', float('nan')),
    ('momentum', 'high'),
    ('loss_weight', -1.0),
    ('loss_weight', float('inf')),
    ('reduction', 'average'),
    ('density', 'fine'),
    ('epsilon', 0.0),
    ('epsilon', 1.5),
    ('divisor', 'some'),
    ('empty_regions', 'drop'),
    ('backend', 'fortran'),
    ('bias_correction', 'yes'),
]
MU = [('mu', mu) for mu in (0, -0.02, 1e-30, 1e30, float('nan'), None)]
CASES = (
    [(GHMCLoss, name, value) for name, value in [*SHARED, ('use_sigmoid', None)]]
    + [(GHMRLoss, name, value) for name, value in SHARED + MU]
    + [(AuthenticSmoothL1Loss, name, value) for name, value in [*MU, ('reduction', 'average')]]
)


@pytest.mark.parametrize(('make', 'name', 'value'), CASES)
def test_constructor(make, name, value):
    arguments = {'use_sigmoid': True} if make is GHMCLoss else {}
    with pytest.raises(ValueError, match='must be') as error:
        make(**{**arguments, name: value})
    message = str(error.value)
    assert f'{name}={value!r}' in message
    assert '\n' not in message


def test_use_sigmoid_has_to_be_written_out():
    with pytest.raises(TypeError, match='use_sigmoid'):
        GHMCLoss(bins=30)


LOGITS = torch.zeros(6, 3)
CALLS = [
    ('target', dict(target=torch.zeros(5, dtype=torch.int64))),
    ('target', dict(target=torch.zeros(6, 2))),
    ('target', dict(target=torch.zeros(6))),
    ('target', dict(target=(torch.zeros(6, dtype=torch.int64),))),
    ('score', dict(target=(torch.zeros(6, dtype=torch.int64), torch.zeros(5)))),
    ('target', dict(target=torch.tensor([0, 1, 2, 3, 4, 0]))),
    ('target', dict(target=torch.tensor([0, 1, 2, 3, -1, 0]))),
    ('weight', dict(target=torch.zeros(6, dtype=torch.int64), weight=torch.ones(5))),
    ('weight', dict(target=torch.zeros(6, dtype=torch.int64), weight=torch.ones(6, 2))),
    ('reduction', dict(target=torch.zeros(6, 3), reduction_override='average')),
]


@pytest.mark.parametrize(('name', 'call'), CALLS)
def test_classification_call(name, call):
    with pytest.raises(ValueError, match='must be') as error:
        GHMCLoss(use_sigmoid=True)(LOGITS, **call)
    assert str(error.value).startswith(name)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('make', [GHMRLoss, AuthenticSmoothL1Loss])
@pytest.mark.parametrize(
    ('name', 'call'),
    [
        ('target', dict(target=torch.zeros(6, 4))),
        ('weight', dict(target=torch.zeros(6, 3), weight=torch.ones(4))),
        ('reduction', dict(target=torch.zeros(6, 3), reduction_override='average')),
    ],
)
def test_box_call(make, name, call):
    with pytest.raises(ValueError, match='must be') as error:
        make()(LOGITS, **call)
    assert str(error.value).startswith(name)


def test_labels_of_ignored_anchors_may_be_anything():
    labels = torch.tensor([0, 1, 2, 3, -1, 99])
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    loss = GHMCLoss(use_sigmoid=True)
    torch.testing.assert_close(
        loss(LOGITS, labels, weight), loss(LOGITS[:4], labels[:4], weight[:4])
    )


def test_off_the_cpu_bad_labels_wait_for_the_log_interval(monkeypatch, training_run):
    """The device count is stood in for by a CPU tensor that claims to be elsewhere."""

    class DeviceCount(torch.Tensor):
        @property
        def device(self):
            return torch.device('cuda')

    capturing = True
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: capturing)
    check = LabelCheck()

    def count(iteration, bad):
        training_run(iteration)
        check(torch.tensor(bad).as_subclass(DeviceCount), "labels outside [0, 3]")

    count(0, 1)
    capturing = False
    for iteration, bad in ((1, 0), (2, 3), (LabelCheck.INTERVAL - 1, 0)):
        count(iteration, bad)
    with pytest.raises(ValueError, match=r'target: 4 labels.*\[0, 3\]'):
        count(LabelCheck.INTERVAL, 0)
    count(2 * LabelCheck.INTERVAL, 0)
