"""Bad arguments and bad calls: one line that names the argument, the value and what is allowed."""

import pytest
import torch

from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss
from ghm_mmdet.losses.monitors import LabelCheck
from ghm_mmdet.method.criteria import LabelTarget, SigmoidCrossEntropy
from ghm_mmdet.ops import Examples

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
    ('balance', 'fair'),
    ('balance', None),
    ('bias_correction', 'yes'),
    ('bias_correction', True),
    ('sync', 'all'),
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


LABELS, ONES = torch.tensor([0, 1, 2, 0, 1, 2]), torch.ones(6)


def changed(values, place, value):
    values = values.clone()
    values[place] = value
    return values


def soft(*change):
    return changed(torch.full((6, 3), 0.5), *change)


BAD_TARGETS = {
    'ignore label': (True, changed(LABELS, 2, -1), r'1 labels .* in \[0, 3\]'),
    'label of a map': (True, changed(LABELS, 2, 255), r'1 labels .* in \[0, 3\]'),
    'ignore label, softmax': (False, changed(LABELS, 2, -100), r'1 labels .* in \[0, 2\]'),
    'mask': (True, soft(2, 255.0), r'3 values .* in \[0, 1\]'),
    'mask in half precision': (True, soft(2, 2).half(), r'3 values .* in \[0, 1\]'),
    'integers': (True, changed(torch.ones(6, 3).long(), 2, 2), r'3 values .* in \[0, 1\]'),
    'below': (True, soft((2, 1), -0.1), r'1 values .* in \[0, 1\]'),
    'softmax': (False, soft(2, -1.0), r'3 values .* in \[0, 1\]'),
    'score': (True, (LABELS, changed(ONES, 2, 1.5)), r'1 labels or scores .* scores in \[0, 1\]'),
}


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('reduction', ['mean', 'none'])
@pytest.mark.parametrize('case', BAD_TARGETS)
def test_a_target_that_has_no_meaning_is_refused_unless_it_is_ignored(case, reduction):
    use_sigmoid, target, message = BAD_TARGETS[case]
    loss = GHMCLoss(use_sigmoid=use_sigmoid, momentum=0.5, reduction=reduction)
    for weight in (None, ONES, torch.ones(6, 1)):
        with pytest.raises(
            ValueError, match=f'^target: {message}.*; give .* a weight of 0$'
        ) as error:
            loss(LOGITS, target, weight)
        assert '\n' not in str(error.value)
    assert not loss.density.moving_average.any()
    kept = torch.tensor([0, 1, 3, 4, 5])
    part = [each[kept] for each in target] if isinstance(target, tuple) else target[kept]
    found = loss(LOGITS, target, changed(ONES, 2, 0))
    expected = GHMCLoss(use_sigmoid=use_sigmoid, momentum=0.5, reduction=reduction)(
        LOGITS[kept], part, ONES[kept]
    )
    torch.testing.assert_close(found.sum(), expected.sum())


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('target', [soft((2, 1), 255.0), (LABELS, changed(ONES, 1, 2.0))])
def test_a_weight_for_every_example_ignores_one_of_them(target):
    place = (2, 1) if isinstance(target, torch.Tensor) else (1, 1)
    loss = GHMCLoss(use_sigmoid=True)
    assert loss(LOGITS, target, changed(torch.ones(6, 3), place, 0)).isfinite()
    with pytest.raises(ValueError, match=r'^target: 1 '):
        loss(LOGITS, target, changed(torch.ones(6, 3), (0, 0), 0))


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('value', [1.0078125, float('nan'), float('inf')])
def test_a_rounded_overlap_is_no_bad_target_and_neither_is_what_is_not_finite(value):
    """The first is the bfloat16 above 1."""
    for target in (soft((2, 1), value), (LABELS, changed(ONES, 2, value))):
        loss = GHMCLoss(use_sigmoid=True)(LOGITS, target)
        assert loss.isfinite() == (value < 2)


def test_boxes_have_targets_of_any_size():
    assert GHMRLoss()(LOGITS, soft(2, 255.0)).isfinite()


def test_off_the_cpu_bad_labels_wait_for_the_log_interval(monkeypatch, training_run):
    """The device count is stood in for by a CPU tensor that claims to be elsewhere."""

    class DeviceCount(torch.Tensor):
        @property
        def device(self):
            return torch.device('cuda')

    capturing = True
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: capturing)
    check = LabelCheck()
    examples = Examples(torch.zeros(4, 3), LabelTarget(torch.zeros(4, dtype=torch.int64)))

    def count(iteration, bad):
        training_run(iteration)
        check.note(torch.tensor(bad).as_subclass(DeviceCount), SigmoidCrossEntropy(), examples)

    count(0, 1)
    capturing = False
    for iteration, bad in ((1, 0), (2, 3), (LabelCheck.INTERVAL - 1, 0)):
        count(iteration, bad)
    with pytest.raises(ValueError, match=r'target: 4 labels.*\[0, 3\]'):
        count(LabelCheck.INTERVAL, 0)
    count(2 * LabelCheck.INTERVAL, 0)
