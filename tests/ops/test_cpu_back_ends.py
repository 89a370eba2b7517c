"""The back ends for the CPU against the reference, chunk by chunk and thread by thread."""

import pytest
import torch

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
    working_dtype,
)
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, backends, reference, torch_ops
from tests.back_ends import COMPILED

ANCHORS, CLASSES, BINS = 301, 7, 10


@pytest.fixture(params=['torch', 'float32', COMPILED])
def computed(request):
    """A back end for the CPU."""
    return backends.load(request.param)


@pytest.fixture(params=[1, 2], ids='{} threads'.format)
def many_chunks(request, monkeypatch):
    """Several chunks, and a last one that is smaller, on one thread and on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    monkeypatch.setattr(torch_ops, 'CHUNK', 512)
    yield
    torch.set_num_threads(before)


def case(criterion, dtype, weights, spread=1.5):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(ANCHORS, CLASSES, generator=generator) * spread
    if criterion == 'labels':
        target = LabelTarget(torch.randint(-1, CLASSES + 2, (ANCHORS,), generator=generator))
    else:
        target = DenseTarget(torch.rand(ANCHORS, CLASSES, generator=generator))
    share = {'few per anchor': 0.05, 'most per anchor': 0.9, 'per example': 0.7}.get(weights)
    weight = None
    if share:
        shape = (ANCHORS, CLASSES if weights == 'per example' else 1)
        weight = (torch.rand(shape, generator=generator) < share).float() * 2
    chosen = AuthenticSmoothL1(0.3) if criterion == 'boxes' else SigmoidCrossEntropy()
    return chosen, Examples(prediction.to(dtype), target, weight), region_edges(BINS)


def check(computed, arguments):
    prediction = arguments[1].prediction
    sums, expected = (module.region_sums(*arguments)._asdict() for module in (computed, reference))
    for name in ('counts', 'nonfinite', 'bad_targets'):
        assert torch.equal(sums[name], expected[name])
    for name in ('losses', 'weight_sum'):
        torch.testing.assert_close(sums[name], expected[name], rtol=2e-6, atol=1e-6)
    scale = torch.rand(BINS, dtype=working_dtype(prediction))
    gradient, oracle = (module.gradient(*arguments, scale) for module in (computed, reference))
    assert gradient.dtype == prediction.dtype
    torch.testing.assert_close(gradient, oracle, equal_nan=True)


@pytest.mark.parametrize('criterion', ['labels', 'values', 'boxes'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize('weights', ['none', 'few per anchor', 'most per anchor', 'per example'])
def test_chunks_add_up_to_the_reference(computed, many_chunks, criterion, dtype, weights):
    check(computed, case(criterion, dtype, weights))


@pytest.mark.parametrize('spread', [1e-3, 6, 40])
def test_near_and_far_from_zero(computed, many_chunks, spread):
    check(computed, case('labels', torch.float32, 'none', spread))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_a_chunk_with_more_than_plain_numbers(computed, many_chunks, value):
    arguments = case('labels', torch.float32, 'most per anchor')
    arguments[1].prediction[200, 3] = value
    check(computed, arguments)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(('value', 'nonfinite'), [(1e19, 0), (3e19, 1), (-3e38, 1)])
def test_an_error_whose_square_overflows(computed, many_chunks, value, nonfinite, dtype):
    arguments = case('boxes', dtype, 'none')
    arguments[1].prediction[200, 3] = value
    check(computed, arguments)
    assert computed.region_sums(*arguments).nonfinite == nonfinite


@pytest.mark.parametrize(('regions', 'tolerance'), [(30, 1e-5), (3840, 1e-4)])
def test_easy_examples_by_the_million_are_all_added(computed, regions, tolerance):
    """Of a float32 running sum the last million would be lost."""
    logits = torch.full((2**21, 2), -14.0)
    target = LabelTarget(torch.full((2**21,), 2))
    criterion, edges = SigmoidCrossEntropy(), region_edges(regions)
    sums = computed.region_sums(criterion, Examples(logits, target), edges)
    oracle = 2**22 * torch.tensor(14.0, dtype=torch.float64).neg().exp().log1p()
    torch.testing.assert_close(sums.losses[0].double(), oracle, rtol=tolerance, atol=0)


def test_results_do_not_change_between_runs(computed, many_chunks):
    arguments = case('labels', torch.float32, 'most per anchor')
    first, second = (computed.region_sums(*arguments) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second))


@pytest.mark.parametrize('computed', ['torch', COMPILED], indirect=True)
def test_a_matrix_keeps_its_layout(computed):
    criterion, examples, edges = case('labels', torch.float32, 'none')
    columns_first = examples.prediction.t().contiguous().t()
    examples = examples._replace(prediction=columns_first)
    gradient = computed.gradient(criterion, examples, edges, torch.rand(BINS))
    assert gradient.stride() == columns_first.stride()
