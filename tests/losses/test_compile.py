"""The losses under torch.compile(fullgraph=True) do what they do without."""

import copy
import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from ghm_mmdet.ops import backends, use_backend
from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.kinds import KINDS, STATES, WIDTH

pytestmark = [pytest.mark.usefixtures('fresh_compiler'), NEEDS_TORCH_2_8]
SIZES = [40, 41, 7, 100, 5, 64, 33, 2, 12, 90]
RECOMPILATIONS = 2
NEVER_FALLING = dict(balance='small-data')
COMPILER = next(filter(shutil.which, ('c++', 'g++', 'clang++')), None)


def compiled(module):
    """The module as one graph, and what counts how often it was compiled."""
    counter = CompileCounterWithBackend('aot_eager')
    return torch.compile(module, backend=counter, fullgraph=True), counter


def step(loss, call, **arguments):
    """Value, gradient and the module's state afterwards."""
    prediction = call.prediction.clone().requires_grad_()
    value = loss(prediction, *call.arguments, **arguments)
    value.sum().backward()
    state = getattr(loss, '_orig_mod', loss).state_dict()
    return value.detach(), prediction.grad, copy.deepcopy(state)


def assert_same_steps(eager, graph, calls, **arguments):
    for call in calls:
        found, expected = (step(loss, call, **arguments) for loss in (graph, eager))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ('kind', 'state'),
    [*((kind, 'bias correction') for kind in KINDS), ('labels', 'exact'), ('boxes', 'exact')],
)
def test_ten_shapes_take_few_graphs(kind, state):
    eager = KINDS[kind].make(**STATES[state])
    graph, counter = compiled(copy.deepcopy(eager))
    assert_same_steps(eager, graph, [KINDS[kind].call(size, seed=size) for size in SIZES])
    assert counter.frame_count <= 1 + RECOMPILATIONS


@pytest.mark.parametrize('balance', [{}, NEVER_FALLING], ids=['paper', 'never falling'])
@pytest.mark.parametrize('kind', ['labels and weight', 'boxes'])
def test_no_anchor_and_a_single_one(kind, balance):
    eager = KINDS[kind].make(momentum=0.75, **balance)
    graph, _ = compiled(copy.deepcopy(eager))
    assert_same_steps(eager, graph, [KINDS[kind].call(size) for size in (30, 0, 1, 31)])


@pytest.mark.parametrize('reduction', ['none', 'sum'])
def test_other_reductions(reduction):
    eager = KINDS['labels'].make(momentum=0.75)
    graph, _ = compiled(copy.deepcopy(eager))
    calls = [KINDS['labels'].call(size) for size in (30, 31)]
    assert_same_steps(eager, graph, calls, reduction_override=reduction)


def test_calls_that_do_not_train_leave_the_moving_average_alone():
    call = KINDS['labels'].call(30)
    eager = KINDS['labels'].make(momentum=0.75)
    eager(call.prediction, *call.arguments)
    module = copy.deepcopy(eager)
    graph, _ = compiled(module)
    before = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        found = graph(call.prediction, *call.arguments)
        torch.testing.assert_close(found, eager(call.prediction, *call.arguments))
    module.eval()
    graph(call.prediction, *call.arguments)
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize('iteration', [0, 7, None])
def test_a_checkpoint_loaded_before(training_run, iteration):
    """And once more when all has long been compiled."""
    trained, eager, module = (KINDS['labels'].make(**STATES['bias correction']) for _ in range(3))
    step(trained, KINDS['labels'].call(200))
    graph, counter = compiled(module)
    if iteration is not None:
        training_run(iteration)
    for sizes in (SIZES, SIZES[:2]):
        for loss in (eager, module):
            loss.load_state_dict(trained.state_dict())
        assert_same_steps(eager, graph, [KINDS['labels'].call(size, seed=size) for size in sizes])
    assert counter.frame_count <= 1 + RECOMPILATIONS


@pytest.mark.parametrize('kind', ['labels', 'boxes'])
@pytest.mark.parametrize('poison', [False, True])
def test_levels_with_and_without_poison(kind, poison):
    eager = KINDS[kind].make(momentum=0.75)

    def pyramid(loss, prediction, *arguments):
        with loss.split_levels():
            parts = [loss(level, *arguments) for level in (prediction, prediction / 2)]
        return loss.merge(parts)

    call = KINDS[kind].call(30)
    if poison:
        call.prediction[3, 1] = torch.inf
    results = []
    for function in (pyramid, torch.compile(pyramid, backend='aot_eager')):
        loss = copy.deepcopy(eager)
        prediction = call.prediction.clone().requires_grad_()
        value = function(loss, prediction, *call.arguments)
        value.backward()
        results.append((value.detach(), prediction.grad, loss.state_dict()))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_bad_labels_are_counted_and_not_read():
    loss = KINDS['labels'].make()
    graph, counter = compiled(loss)
    call = KINDS['labels'].call(30)
    for bad in (WIDTH + 1, -1):
        call.arguments[0][3:5] = bad
        graph(call.prediction, *call.arguments)
    assert counter.frame_count == 1
    with pytest.raises(ValueError, match=rf'target: 4 labels outside the range.*\[0, {WIDTH}\]'):
        loss.label_check.raise_if_bad()


def test_a_graph_is_compiled_anew_for_another_back_end(monkeypatch):
    load, used = backends.load, []
    monkeypatch.setattr(backends, 'load', lambda name: used.append(name) or load(name))
    graph, counter = compiled(KINDS['labels'].make())
    for name in ('reference', 'torch'):
        used.clear()
        with use_backend(name):
            step(graph, KINDS['labels'].call(30))
        assert used == [name] * 2  # forward and backward
    assert counter.frame_count == 2


@pytest.mark.skipif(COMPILER is None, reason='needs a C++ compiler')
@pytest.mark.parametrize('balance', [{}, NEVER_FALLING], ids=['paper', 'never falling'])
def test_code_that_inductor_generates(balance):
    """On logits that, as a head's permuted map, are not contiguous."""
    eager = KINDS['labels'].make(momentum=0.75, **balance)
    module = copy.deepcopy(eager)
    graph = torch.compile(module, fullgraph=True, dynamic=False)
    for seed in range(2):
        call = KINDS['labels'].call(40, seed)
        call = call._replace(prediction=call.prediction.t().contiguous().t())
        assert_same_steps(eager, graph, [call])
