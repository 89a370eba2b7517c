"""The forms in which MMDetection's heads call a loss."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import GHMC, FocalLoss
from mmdet.registry import MODELS

import ghm_mmdet  # noqa: F401
from ghm_mmdet.losses import AuthenticSmoothL1Loss, GHMCLoss, GHMRLoss

CLASSES = 3


@pytest.fixture
def call():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES + 1, (50,), generator=generator)
    return dict(
        logits=torch.randn(50, CLASSES, generator=generator),
        labels=labels,
        one_hot=F.one_hot(labels, CLASSES + 1)[:, :-1].float(),
        weight=(torch.rand(50, generator=generator) > 0.3).float(),
        score=torch.rand(50, generator=generator),
    )


def ghmc(**arguments):
    return GHMCLoss(use_sigmoid=True, **arguments)


FORMS = {
    'weight positional': lambda c, f: f(c['logits'], c['labels'], c['weight'], avg_factor=7.0),
    'weight by name': lambda c, f: f(c['logits'], c['labels'], weight=c['weight'], avg_factor=1.0),
    'label_weight by name': lambda c, f: f(c['logits'], c['labels'], label_weight=c['weight']),
    'one hot, weight per anchor': lambda c, f: f(c['logits'], c['one_hot'], c['weight']),
    'one hot, weight (N, 1)': lambda c, f: f(c['logits'], c['one_hot'], c['weight'][:, None]),
    'one hot, weight (N, C)': lambda c, f: f(
        c['logits'], c['one_hot'], c['weight'][:, None].repeat(1, CLASSES)
    ),
    'one hot, weight in a row': lambda c, f: f(
        c['logits'], c['one_hot'], c['weight'][:, None].repeat(1, CLASSES).flatten()
    ),
    'labels, weight in a row': lambda c, f: f(
        c['logits'], c['labels'], c['weight'].repeat_interleave(CLASSES)
    ),
    'three dimensions': lambda c, f: f(
        c['logits'].view(5, 10, CLASSES),
        c['one_hot'].view(5, 10, CLASSES),
        weight=c['weight'].view(5, 10, 1),
    ),
    'hard scores': lambda c, f: f(
        c['logits'], (c['labels'], torch.ones(50)), weight=c['weight'], avg_factor=7.0
    ),
    'reduction overridden': lambda c, f: (
        f(c['logits'], c['labels'], c['weight'], reduction_override='sum')
        / (c['weight'].sum() * CLASSES)
    ),
    'elementwise': lambda c, f: (
        f(c['logits'], c['labels'], c['weight'], reduction_override='none').sum()
        / (c['weight'].sum() * CLASSES)
    ),
}


@pytest.mark.parametrize('form', FORMS)
def test_every_form_gives_the_same_loss(call, form):
    oracle = ghmc()(call['logits'], call['labels'], call['weight'])
    torch.testing.assert_close(FORMS[form](call, ghmc()), oracle)


# weights for logits (N, C), as functions of N and C
WEIGHTS = {
    'per anchor': lambda n, c: (n,),
    'per anchor, in a column': lambda n, c: (n, 1),
    'per example': lambda n, c: (n, c),
    'per example, in a row': lambda n, c: (n * c,),
}
# what ``weight_reduce_loss`` broadcasts, and focal loss refuses
PER_CLASS = {
    'per class': lambda n, c: (1, c),
    'per class, in a row': lambda n, c: (c,),
    'one for all': lambda n, c: (),
}


def expanded(weight, n, c):
    """What mmdet means by the weight, spelt out as (N, C)."""
    if weight.shape[:1] == (n,) and weight.numel() == n:
        return weight.view(n, 1).expand(n, c)
    return weight.view(n, c) if weight.numel() == n * c else weight.expand(n, c)


def drawn(shape, size):
    generator = torch.Generator().manual_seed(0)
    weight = (torch.rand(shape, generator=generator) > 0.4).float()
    n, c = size
    logits = torch.randn(n, c, generator=generator)
    return logits, torch.randint(0, c + 1, (n,), generator=generator), weight


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('size', [(50, 3), (50, 1), (1, 3), (3, 3), (1, 1)], ids=str)
@pytest.mark.parametrize('form', [*WEIGHTS, *PER_CLASS])
def test_weights_of_every_form_that_mmdet_takes(form, size):
    logits, labels, weight = drawn({**WEIGHTS, **PER_CLASS}[form](*size), size)
    whole = expanded(weight, *size).contiguous()
    one_hot = F.one_hot(labels, size[1] + 1)[:, :-1].float()
    for target in (labels, one_hot):
        found, expected = (logits.clone().requires_grad_() for _ in range(2))
        value, oracle = ghmc(bins=7)(found, target, weight), GHMC(bins=7)(expected, one_hot, whole)
        torch.testing.assert_close(value, oracle)
        torch.testing.assert_close(
            *torch.autograd.grad(value, found), *torch.autograd.grad(oracle, expected)
        )
    boxes = GHMRLoss()(logits, one_hot, weight), GHMRLoss()(logits, one_hot, whole)
    torch.testing.assert_close(*boxes, rtol=0, atol=0)


@pytest.mark.parametrize('size', [(50, 3), (50, 1), (1, 3), (3, 3)], ids=str)
@pytest.mark.parametrize('form', WEIGHTS)
def test_focal_loss_means_the_same_by_a_weight(form, size):
    logits, labels, weight = drawn(WEIGHTS[form](*size), size)
    focal = FocalLoss(reduction='none')(logits, labels, weight)
    each = ghmc(reduction='none')(logits, labels, weight)
    assert torch.equal(focal > 0, each > 0)


@pytest.mark.parametrize(
    'shape', [(49,), (3, 50), (75, 2), (150, 1), (50, 2), (1, 50), (2, 50, 3), (0,)], ids=str
)
def test_a_weight_of_no_such_form_is_refused_in_one_line(call, shape):
    losses = (ghmc(), GHMRLoss(), AuthenticSmoothL1Loss())
    for loss in losses:
        with pytest.raises(ValueError, match=r'^weight of shape .*: must be \(50,\), [^\n]*$'):
            loss(call['logits'], call['one_hot'], torch.ones(shape))


def test_two_weights_are_refused(call):
    loss = GHMCLoss(use_sigmoid=True)
    with pytest.raises(ValueError, match=r'^weight and label_weight: must be one of them'):
        loss(call['logits'], call['labels'], call['weight'], label_weight=call['weight'])


def test_no_weight_is_all_ones(call):
    oracle = ghmc()(call['logits'], call['labels'], torch.ones(50))
    torch.testing.assert_close(ghmc()(call['logits'], call['labels'], avg_factor=3.0), oracle)


def test_scores_are_soft_targets_at_the_label(call):
    oracle = ghmc()(call['logits'], call['one_hot'] * call['score'][:, None])
    torch.testing.assert_close(ghmc()(call['logits'], (call['labels'], call['score'])), oracle)


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('use_sigmoid', [True, False])
@pytest.mark.parametrize('reduction', ['none', 'mean'])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_of_any_integers(call, dtype, reduction, use_sigmoid):
    logits = torch.cat([call['logits'], call['weight'].unsqueeze(1)], 1)  # background for softmax
    loss = GHMCLoss(use_sigmoid=use_sigmoid, reduction=reduction)
    found, expected = (
        loss(logits, labels) for labels in (call['labels'].to(dtype), call['labels'])
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    if use_sigmoid:
        scored = loss(logits, (call['labels'].to(dtype), torch.ones(50)))
        torch.testing.assert_close(scored, expected)


@pytest.mark.parametrize('loss', [ghmc(), ghmc(momentum=0.75), ghmc(density='exact')])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_nothing_to_learn_from_is_zero_with_a_gradient(loss, reduction):
    for anchors, weight in ((0, None), (4, torch.zeros(4))):
        logits = torch.randn(anchors, CLASSES, requires_grad=True)
        labels = torch.zeros(anchors, dtype=torch.int64)
        value = loss(logits, labels, weight, reduction_override=reduction)
        value.backward()
        assert value.item() == 0
        assert (logits.grad == 0).all()


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('make', [ghmc, GHMRLoss])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('shape', [(0,), (5, 0), (0, 0), (0, 4), (2, 0, 3), (0, 3, 0)], ids=str)
def test_no_example_of_any_shape_is_zero_with_a_gradient(make, shape, weighted):
    prediction = torch.zeros(shape, requires_grad=True)
    weight = torch.ones(shape[:-1]) if weighted and len(shape) > 1 else None
    value = make()(prediction, torch.zeros(shape), weight)
    value.backward()
    assert value.item() == 0
    assert prediction.grad.shape == shape
    each = make()(prediction, torch.zeros(shape), weight, reduction_override='none')
    assert each.shape == shape


@pytest.mark.usefixtures('backend')
def test_labels_for_no_class_are_zero_with_a_gradient():
    logits = torch.zeros(5, 0, requires_grad=True)
    value = ghmc()(logits, torch.zeros(5, dtype=torch.int64))
    value.backward()
    assert value.item() == 0
    assert logits.grad.shape == (5, 0)


@pytest.mark.parametrize('make', [GHMRLoss, AuthenticSmoothL1Loss])
def test_box_weights_per_box_or_per_coordinate(make):
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(2, 20, 4, generator=generator) * 0.1
    weight = (torch.rand(20, generator=generator) > 0.5).float()
    per_coordinate = make()(pred, target, weight[:, None].repeat(1, 4), avg_factor=3.0)
    torch.testing.assert_close(make()(pred, target, weight=weight, avg_factor=3.0), per_coordinate)


@pytest.mark.parametrize('avg_factor', [None, 5.0])
def test_authentic_smooth_l1_averages_as_its_host_does(avg_factor):
    generator = torch.Generator().manual_seed(0)
    pred, target, weight = torch.rand(3, 20, 4, generator=generator)
    d = (pred - target).double()
    total = ((torch.sqrt(d * d + 0.02**2) - 0.02) * weight).sum() * 2.0
    loss = AuthenticSmoothL1Loss(mu=0.02, loss_weight=2.0)(pred, target, weight, avg_factor)
    torch.testing.assert_close(loss.double(), total / (avg_factor or pred.numel()))


@pytest.mark.parametrize('arguments', [{}, dict(avg_factor=5.0), dict(reduction_override='sum')])
@pytest.mark.parametrize('weight', [None, torch.ones(0), torch.ones(0, 4)])
@pytest.mark.parametrize('make', [GHMRLoss, AuthenticSmoothL1Loss])
def test_no_boxes_are_zero_with_a_gradient(make, weight, arguments):
    pred = torch.zeros(0, 4, requires_grad=True)
    value = make()(pred, torch.zeros(0, 4), weight, **arguments)
    value.backward()
    assert value == 0 and pred.grad.shape == pred.shape


@pytest.mark.parametrize(
    'config',
    [
        dict(type='GHMCLoss', use_sigmoid=True, bins=30, momentum=0.75),
        dict(type='GHMRLoss', mu=0.02, bins=10, momentum=0.7, loss_weight=10.0),
        dict(type='AuthenticSmoothL1Loss', mu=0.02),
    ],
)
def test_registered_beside_mmdets_own(config):
    assert type(MODELS.build(config)).__name__ == config['type']
    assert MODELS.get('GHMC').__module__.startswith('mmdet.')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gradient_has_the_dtype_of_the_logits(call, dtype):
    logits = call['logits'].to(dtype).requires_grad_()
    loss = ghmc(momentum=0.5)(logits, call['labels'])
    loss.backward()
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert logits.grad.dtype == dtype
