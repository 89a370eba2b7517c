"""Class weights on every back end and in every form of a call, by the formula in float64."""

import numpy as np
import pytest
import torch

from ghm_mmdet.losses import GHMCLoss
from ghm_mmdet.losses.class_weight import ClassWeight
from ghm_mmdet.method.density import region_index
from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.forms import CLASSES, FORMS, batch

WEIGHTS = [0.5, 1.0, 3.0, 20.0]
SETTINGS = {
    'published': dict(bins=10),
    'tempered': dict(bins=10, balance=dict(preset='small-data', tempering=0.5), loss_weight=0.7),
    'exact': dict(bins=5, density='exact'),
}


def expected(loss, prediction, full, weight, mean=True):
    """(1/N) sum_i beta_i f_i l_i with the loss's own beta; and beta_i f_i l_i of every example."""
    prediction = prediction.double()
    factor = torch.tensor(WEIGHTS).double() - 1
    if loss.use_sigmoid:
        examples = torch.nn.functional.binary_cross_entropy_with_logits(
            prediction, full.double(), reduction='none'
        )
        norm = (prediction.sigmoid() - full).abs()
        times = 1 + factor * full
    else:
        examples = -(prediction.log_softmax(1) * full).sum(1, keepdim=True)
        norm = (prediction.softmax(1) - full).abs().sum(1, keepdim=True) / 2
        times = 1 + (factor * full[:, :CLASSES]).sum(1, keepdim=True)
    beta = loss.statistics.beta.double()[region_index(norm.float(), loss.density.edges)]
    valid = (weight > 0).double()[:, None].expand_as(examples)
    losses = beta.detach() * times * examples * valid * loss.loss_weight
    return losses.sum() / (valid.sum() if mean else 1), losses


@NEEDS_TORCH_2_8
def test_losses_for_other_numbers_of_classes_compile_one_after_another():
    torch._dynamo.reset()
    for classes, size, weights in ((4, 200, None), (5, 207, None), (4, 214, WEIGHTS)):
        loss = GHMCLoss(use_sigmoid=True, bins=10, class_weight=weights)
        logits, labels = torch.randn(size, classes), torch.randint(0, classes, (size,))
        compiled = torch.compile(loss, fullgraph=True, backend='eager')
        torch.testing.assert_close(compiled(logits, labels), loss(logits, labels))


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('setting', SETTINGS)
@pytest.mark.parametrize('form', FORMS)
def test_the_loss_and_its_gradient_are_those_of_the_formula(form, setting, reduction):
    sigmoid = not form.startswith('softmax')
    arguments = dict(use_sigmoid=sigmoid, reduction=reduction, **SETTINGS[setting])
    loss = GHMCLoss(class_weight=WEIGHTS, **arguments)
    prediction, target, full, weight = batch(form)
    prediction.requires_grad_()
    value = loss(prediction, target, weight)
    oracle, _ = expected(loss, prediction, full, weight, reduction == 'mean')
    torch.testing.assert_close(value.double(), oracle, rtol=1e-5, atol=0)
    gradients = (torch.autograd.grad(each, prediction)[0] for each in (value, oracle))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
    plain = GHMCLoss(**arguments)
    assert plain(prediction, target, weight) != value
    torch.testing.assert_close(plain.statistics, loss.statistics)


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('form', FORMS)
def test_each_example_is_weighted(form):
    loss = GHMCLoss(use_sigmoid=not form.startswith('softmax'), class_weight=WEIGHTS, bins=10)
    prediction, target, full, weight = batch(form)
    loss(prediction, target, weight)
    found = loss(prediction, target, weight, reduction_override='none')
    _, losses = expected(loss, prediction, full, weight)
    torch.testing.assert_close(found.double(), losses.reshape(found.shape), rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('form', FORMS)
def test_weights_of_one_change_nothing(form):
    prediction, target, _, weight = batch(form)
    sigmoid = not form.startswith('softmax')
    losses = (
        GHMCLoss(use_sigmoid=sigmoid, momentum=0.75, class_weight=each)
        for each in (None, [1] * CLASSES)
    )
    values = (each(prediction, target, weight) for each in losses)
    torch.testing.assert_close(*values, rtol=0, atol=0)


@pytest.mark.parametrize('reduction', ['mean', 'none'])
@pytest.mark.parametrize('form', FORMS)
def test_whole_numbers_weigh_like_the_others(form, reduction):
    prediction, target, _, weight = batch(form)
    losses = [
        GHMCLoss(
            use_sigmoid=not form.startswith('softmax'), class_weight=weights, reduction=reduction
        )(prediction, target, weight)
        for weights in ([1, 2, 5, 3], [1.0, 2.0, 5.0, 3.0])
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('form', FORMS)
def test_a_small_weight_keeps_its_gradient_in_half_precision(form, dtype):
    """Rounded once, not as the difference of two rounded numbers."""
    weights = [0.01] * CLASSES
    loss = GHMCLoss(use_sigmoid=not form.startswith('softmax'), class_weight=weights)
    prediction, target, _, weight = batch(form)
    results = []
    for each in (prediction.to(dtype), prediction.to(dtype).float()):
        each.requires_grad_()
        loss(each, target, weight).backward()
        results.append(each.grad.float())
    half, full = results
    bound = torch.finfo(dtype).eps * full.abs() + torch.finfo(dtype).smallest_normal
    assert ((half - full).abs() <= bound).all()


def test_levels_with_factors_are_one_loss():
    loss = GHMCLoss(use_sigmoid=True, class_weight=WEIGHTS)
    prediction, target, _, weight = batch('labels')
    whole = loss(prediction, target, weight)
    parts = [slice(0, 7), slice(7, 40), slice(40, 60)]
    with loss.split_levels():
        shares = [loss(prediction[p], target[p], weight[p]) for p in parts]
    torch.testing.assert_close(loss.merge(shares), whole)
    torch.testing.assert_close(loss.merge([share * 3 for share in shares]), 3 * whole)


def test_what_is_ignored_or_background_leaves_no_trace():
    loss = GHMCLoss(use_sigmoid=True, class_weight=WEIGHTS)
    prediction, target, _, weight = batch('labels')
    prediction[weight == 0] = float('nan')
    prediction.requires_grad_()
    value = loss(prediction, target, weight)
    value.backward()
    assert value.isfinite()
    assert not prediction.grad[weight == 0].any()


@NEEDS_TORCH_2_8
def test_a_graph_is_the_loss():
    loss = GHMCLoss(use_sigmoid=True, class_weight=WEIGHTS, momentum=0.5)
    graph = torch.compile(loss, backend='aot_eager', fullgraph=True)
    prediction, target, _, weight = batch('labels')
    results = []
    for function in (loss, graph):
        loss.reset()
        prediction = prediction.detach().requires_grad_()
        value = function(prediction, target, weight)
        value.backward()
        results.append((value.detach(), prediction.grad))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(('exponent', 'ratio'), [(0.5, 10), (1.0, 100)])
def test_counted_weights_have_a_mean_of_one_over_the_objects(exponent, ratio):
    weight = ClassWeight(dict(auto=exponent))
    counts = [1000, 10, 0, 90]
    weight.count(counts)
    objects = torch.tensor(counts).float()
    assert (weight.values * objects).sum() / objects.sum() == pytest.approx(1)
    assert weight.values[1] / weight.values[0] == pytest.approx(ratio)
    assert weight.values[2] == weight.values.max()
    weight.count([0] * 4)
    assert weight.values.tolist() == [1] * 4


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('rare', "class_weight='rare': must be a list with one number per class, 'auto'"),
        ([], r'class_weight=\[\]: must be a list'),
        ([1, 0], r'class_weight\[1\]=0: must be a number in \[1e-3, 1e6\]'),
        ([1e39, 1], r'class_weight\[0\]=1e\+39: must be a number'),
        ([1, 10**400], r'class_weight\[1\]=10*: must be a number'),
        (torch.ones(2), r'class_weight=tensor\(.*: must be a list'),
        (np.ones((2, 2)), r'class_weight=array\(.*: must be a list'),
        (dict(auto=2), r'class_weight.auto=2: must be a number in \(0, 1\]'),
        (dict(power=1), 'class_weight=.*: must be a list'),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(setting, message):
    with pytest.raises(ValueError, match=f'^{message}') as error:
        GHMCLoss(use_sigmoid=True, class_weight=setting)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('reduction', ['mean', 'none'])
@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('auto', "class_weight='auto': must be counted before the training; add Harmon"),
        ([1, 2], 'class_weight of 2 classes: must have 4, as the head'),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_the_first_call(setting, message, reduction):
    loss = GHMCLoss(use_sigmoid=True, class_weight=setting, reduction=reduction)
    prediction, target, _, weight = batch('labels')
    with pytest.raises(ValueError, match=f'^{message}') as error:
        loss(prediction.requires_grad_(), target, weight)
    assert '\n' not in str(error.value)


def test_a_call_that_is_refused_leaves_the_moving_average():
    loss = GHMCLoss(use_sigmoid=True, momentum=0.75, class_weight=[1, 2])
    prediction, target, _, weight = batch('labels')
    with pytest.raises(ValueError, match='of 2 classes'):
        loss(prediction.requires_grad_(), target, weight)
    assert not loss.density.moving_average.any()


@pytest.mark.parametrize('reduction', ['mean', 'none'])
@pytest.mark.parametrize('form', ['values', 'labels and score', 'softmax values'])
def test_an_ignored_target_that_is_not_finite_leaves_no_trace(form, reduction):
    loss = GHMCLoss(
        use_sigmoid=not form.startswith('softmax'), class_weight=WEIGHTS, reduction=reduction
    )
    prediction, target, _, weight = batch(form)
    values = target[1] if isinstance(target, tuple) else target
    results = []
    for bad in (0.5, float('nan'), float('inf')):
        values[weight == 0] = bad
        results.append(loss(prediction, target, weight))
    torch.testing.assert_close(results[1:], results[:1] * 2)


def test_weights_outlive_the_meta_device():
    with torch.device('meta'):
        loss = GHMCLoss(use_sigmoid=True, class_weight=WEIGHTS)
    loss(torch.zeros(3, CLASSES, device='meta'), torch.zeros(3, dtype=torch.int64, device='meta'))
    assert loss.class_weight.values.tolist() == WEIGHTS


def test_a_look_at_examples_needs_no_counts():
    prediction, target, _, weight = batch('labels')
    values = []
    for setting in (None, 'auto'):
        loss = GHMCLoss(use_sigmoid=True, class_weight=setting).eval()
        values.append(loss(prediction, target, weight))
    torch.testing.assert_close(*values)


def test_weights_are_no_part_of_a_checkpoint_and_stay_float32():
    loss = GHMCLoss(use_sigmoid=True, class_weight=WEIGHTS).half()
    assert loss.class_weight.values.tolist() == WEIGHTS
    assert loss.class_weight.values.dtype == torch.float32
    assert not any('class_weight' in name for name in loss.state_dict())
