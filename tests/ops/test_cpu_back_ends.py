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


@pytest.mark.parametrize('bins', [1, 2, 30, 100])
@pytest.mark.parametrize('change', ['nothing', 'large', 'infinite', 'nan', 'an object'])
def test_blocks_of_background(computed, bins, change):
    """Most blocks hold no object, and some back ends compute those in another way."""
    generator = torch.Generator().manual_seed(bins)
    logits = torch.randn(2000, CLASSES, generator=generator) * 2 - 3
    labels = torch.full((2000,), CLASSES)
    values = {'large': [126.5, 3e4], 'infinite': [torch.inf, -torch.inf], 'nan': [torch.nan] * 2}
    logits[1000, :2] = torch.tensor(values.get(change, [-90.0, 20.0]))
    if change == 'an object':
        labels[1500] = 3
    edges = region_edges(bins)
    examples = Examples(logits, LabelTarget(labels))
    sums, expected = (
        module.region_sums(SigmoidCrossEntropy(), examples, edges)
        for module in (computed, reference)
    )
    # the compiled one may count an example on the other side of an edge, see its docstring
    assert (sums.counts - expected.counts).abs().sum() <= 2
    assert sums.counts.sum() == expected.counts.sum()
    torch.testing.assert_close(sums.losses.sum(), expected.losses.sum(), rtol=2e-6, atol=0)
    assert sums.nonfinite == expected.nonfinite == {'infinite': 2, 'nan': 2}.get(change, 0)
    gradient, oracle = (
        module.gradient(SigmoidCrossEntropy(), examples, edges, torch.ones(bins))
        for module in (computed, reference)
    )
    torch.testing.assert_close(gradient, oracle, rtol=1e-6, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize('logit', [-9.0, 0.5, 125.0])
def test_sums_of_millions_of_equal_examples(computed, logit):
    number = 5_000_000
    logits = torch.full((number, 1), logit)
    examples = Examples(logits, LabelTarget(torch.ones(number, dtype=torch.int64)))
    sums = computed.region_sums(SigmoidCrossEntropy(), examples, region_edges(BINS))
    of_one = torch.nn.functional.softplus(torch.tensor(logit, dtype=torch.float64), threshold=1000)
    region = int(torch.tensor(logit).sigmoid() * BINS)
    assert sums.counts[min(region, BINS - 1)] == number
    # one back end does without float64
    rtol = 1e-4 if computed is backends.load('float32') else 2e-6
    torch.testing.assert_close(sums.losses.double().sum(), number * of_one, rtol=rtol, atol=0)


@pytest.mark.parametrize('target', [1e10, -1e10, 3e38])
def test_a_huge_target_is_out_of_range_and_in_the_last_region(computed, target):
    logits, values = torch.zeros(300, 4), torch.zeros(300, 4)
    values[7, 1] = target
    examples = Examples(logits, DenseTarget(values))
    sums = computed.region_sums(SigmoidCrossEntropy(), examples, region_edges(BINS))
    assert sums.bad_targets == 1
    assert sums.counts[BINS - 1] == 1
    assert sums.counts[BINS // 2] == 4 * 300 - 1
    computed.gradient(SigmoidCrossEntropy(), examples, region_edges(BINS), torch.ones(BINS))
