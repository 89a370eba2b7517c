"""Input that is not finite: NaN out, the moving average stays, and the level is noted."""

import pytest
import torch

from ghm_mmdet.losses.monitors import NonfiniteFlags
from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.kinds import KINDS

POISON = [float('nan'), float('inf'), float('-inf')]


def poisoned(kind, bad):
    """A call, and what its prediction is with one bad number."""
    call = KINDS[kind].call(40)
    prediction = call.prediction.clone()
    prediction[0, 0] = bad
    return call, prediction


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('bad', POISON)
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize('kind', KINDS)
def test_a_poisoned_call_is_nan_and_leaves_the_average_alone(kind, reduction, bad):
    loss = KINDS[kind].make(momentum=0.5, reduction=reduction)
    call, prediction = poisoned(kind, bad)
    loss(call.prediction, *call.arguments)
    before = loss.density.moving_average.clone()
    value = loss(prediction.requires_grad_(), *call.arguments)
    value.sum().backward()
    assert value.isnan().all() or (reduction == 'none' and value.isnan().any())
    assert prediction.grad.isnan().any()
    torch.testing.assert_close(loss.density.moving_average, before, rtol=0, atol=0)


@pytest.mark.usefixtures('backend')
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
@pytest.mark.parametrize('mu', [0.02, 'median'])
def test_a_run_that_has_diverged_is_not_perfect(mu, reduction):
    loss = KINDS['boxes'].make(mu=mu, momentum=0.5, reduction=reduction)
    prediction = torch.full((40, 4), 1e30, requires_grad=True)
    value = loss(prediction, torch.zeros(40, 4))
    value.sum().backward()
    assert value.isnan().all()
    assert prediction.grad.isnan().all()
    assert not loss.density.moving_average.any()


@pytest.mark.parametrize('level', [0, 1])
def test_one_level_of_a_pyramid_takes_all_of_it_along(level):
    loss = KINDS['labels'].make(momentum=0.5)
    call, prediction = poisoned('labels', float('nan'))
    predictions = [call.prediction.clone(), call.prediction.clone()]
    predictions[level] = prediction
    with loss.split_levels():
        parts = [loss(each.requires_grad_(), *call.arguments) for each in predictions]
    loss.merge(parts).backward()
    assert all(each.grad.isnan().any() for each in predictions)
    assert (loss.nonfinite_flags.counts[:2] > 0).tolist() == [level == 0, level == 1]


@pytest.mark.parametrize('size', [1, 3, 20])
@pytest.mark.parametrize('level', range(20))
def test_a_poisoned_level_has_its_flag_or_the_last(level, size):
    flags = NonfiniteFlags()
    counts = torch.zeros(20, dtype=torch.int64)
    counts[level] = 3
    # one call for each level, and calls for several
    for first, part in zip(range(0, 20, size), counts.split(size)):
        flags.note(first, part)
    assert flags.take().nonzero().tolist() == [[min(level, flags.LEVELS - 1)]]


def test_an_ignored_number_poisons_nothing():
    loss = KINDS['labels'].make()
    logits = torch.zeros(4, 3)
    logits[1] = float('nan')
    weight = torch.tensor([1.0, 0.0, 1.0, 1.0])
    value = loss(logits.requires_grad_(), torch.arange(4), weight)
    value.backward()
    assert value > 0
    assert logits.grad[[0, 2, 3]].all() and not logits.grad[1].any()


@NEEDS_TORCH_2_8
@pytest.mark.usefixtures('fresh_compiler')
def test_a_graph_notes_a_poisoned_level_before_a_finite_one():
    loss = KINDS['labels'].make(momentum=0.5)
    graph = torch.compile(loss, backend='aot_eager', fullgraph=True)
    call, prediction = poisoned('labels', float('nan'))
    for each in (prediction, call.prediction):
        graph(each.requires_grad_(), *call.arguments)
    assert loss.nonfinite_flags.take().any()
    assert not loss.nonfinite_flags.take().any()
