"""When the moving average changes, and how it travels."""

import copy

import pytest
import torch
from mmdet.models.losses import GHMC, GHMR
from mmengine.runner.checkpoint import _load_checkpoint_to_model

from ghm_mmdet.losses import GHMCLoss, GHMRLoss

LOGITS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 4, (40,), generator=torch.Generator().manual_seed(1))


def make(momentum=0.75, **arguments):
    return GHMCLoss(use_sigmoid=True, bins=5, momentum=momentum, **arguments)


def state(loss):
    return copy.deepcopy(loss.state_dict())


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize('arguments', [{}, {'bias_correction': True}, {'density': 'exact'}])
def test_only_training_calls_that_reduce_change_it(arguments):
    loss = make(**arguments)
    loss(LOGITS, LABELS)
    before = state(loss)
    value = copy.deepcopy(loss)(LOGITS, LABELS)

    with torch.no_grad():
        torch.testing.assert_close(loss(LOGITS, LABELS), value)
    loss(LOGITS, LABELS, reduction_override='none')
    loss.eval()
    torch.testing.assert_close(loss(LOGITS, LABELS), value)
    assert same(state(loss), before)

    loss.train()
    loss(LOGITS, LABELS, reduction_override='sum')
    assert not same(state(loss), before)


@pytest.mark.parametrize('arguments', [{'momentum': 0}, {}, {'bias_correction': True}])
def test_saved_and_restored(arguments):
    first, second = make(**arguments), make(**arguments)
    for _ in range(3):
        first(LOGITS, LABELS)
    assert bool(first.state_dict()) == first.density.has_state
    second.load_state_dict(first.state_dict(), strict=True)
    torch.testing.assert_close(second(LOGITS, LABELS), first(LOGITS, LABELS))


def test_an_average_that_was_saved_without_its_correction_is_taken_to_have_converged():
    first, second = make(momentum=0.75), make(momentum=0.75, bias_correction=True)
    for _ in range(40):
        first(LOGITS, LABELS)
    second.load_state_dict(first.state_dict(), strict=True)
    torch.testing.assert_close(second(LOGITS, LABELS), first(LOGITS, LABELS))


def test_moved_with_the_module():
    assert make().to('meta').density.moving_average.device.type == 'meta'


@pytest.mark.parametrize('momentum', [0, 0.75])
@pytest.mark.parametrize('through_mmengine', [False, True])
@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [(lambda **kw: make(**kw), GHMC), (lambda **kw: GHMRLoss(bins=5, **kw), GHMR)],
)
def test_mmdets_checkpoints_resume(ours, theirs, momentum, through_mmengine, caplog):
    oracle = theirs(bins=5, momentum=momentum)
    values = torch.rand(40, 3, generator=torch.Generator().manual_seed(2))
    for scale in (1.0, 0.5):
        oracle(LOGITS * scale, values, torch.ones(40, 3))
    loss = ours(momentum=momentum)
    holder = torch.nn.ModuleDict({'loss_cls': loss})
    checkpoint = {f'loss_cls.{name}': value for name, value in oracle.state_dict().items()}
    if through_mmengine:
        _load_checkpoint_to_model(holder, {'state_dict': checkpoint}, strict=True)
    else:
        holder.load_state_dict(checkpoint, strict=True)
    assert 'unexpected' not in caplog.text
    assert 'missing' not in caplog.text
    call = LOGITS, values, torch.ones(40, 3)
    torch.testing.assert_close(loss(*call), oracle(*call), rtol=1e-5, atol=0)


@pytest.mark.parametrize(('iteration', 'afresh'), [(0, True), (7, False), (None, False)])
def test_fine_tuning_starts_afresh_and_resuming_does_not(training_run, iteration, afresh):
    trained, loss = make(), make()
    for _ in range(3):
        trained(LOGITS, LABELS)
    loss.load_state_dict(trained.state_dict())
    if iteration is not None:
        training_run(iteration)
    expected = (make() if afresh else trained)(LOGITS, LABELS)
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)
    if afresh:  # only the first call of the run starts afresh
        once = state(loss)
        loss(LOGITS, LABELS)
        assert not same(state(loss), once)


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('arguments', [{}, {'bias_correction': True}, {'density': 'exact'}])
@pytest.mark.parametrize('label', [0, 3])
def test_poisoned_logits_give_nan_and_leave_it_alone(bad, arguments, label):
    loss = make(**arguments)
    loss(LOGITS, LABELS)
    before = state(loss)
    logits = LOGITS.clone()
    logits[7, 0] = bad
    labels = LABELS.clone()
    labels[7] = label
    logits.requires_grad_()
    value = loss(logits, labels)
    value.backward()
    assert value.isnan()
    assert logits.grad.isnan().any()  # so that GradScaler skips the step
    assert same(state(loss), before)
    assert loss(logits, labels, reduction_override='none').isnan().any()
    assert loss(LOGITS, LABELS).isfinite()


def test_poisoned_boxes_give_nan_and_leave_it_alone():
    loss = GHMRLoss(momentum=0.7)
    loss(LOGITS, torch.zeros_like(LOGITS))
    before = state(loss)
    target = torch.zeros_like(LOGITS)
    target[3, 1] = float('nan')
    assert loss(LOGITS, target).isnan()
    assert same(state(loss), before)
    weight = (~target.isnan()).float()
    assert loss(LOGITS, target, weight).isfinite()
