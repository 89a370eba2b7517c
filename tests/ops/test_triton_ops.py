"""The Triton back end against the reference: interpreted on the CPU, for real on a CUDA device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, RegionSums, reference
from ghm_mmdet.ops.examples import level_sums_by, total_of_levels

pytest.importorskip('triton', reason='needs the triton package')
triton_ops = pytest.importorskip('ghm_mmdet.ops.triton_ops')
triton_layout = pytest.importorskip('ghm_mmdet.ops.triton_layout')

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
FEW, MANY = 10, 3840
NEEDS_CUDA = pytest.mark.skipif(DEVICE == 'cpu', reason='needs a CUDA device')
pytestmark = pytest.mark.skipif(
    DEVICE == 'cpu' and not triton_ops.INTERPRETED,
    reason='triton was imported before TRITON_INTERPRET=1 was set, and there is no CUDA device',
)
FEW_AND_MANY = pytest.mark.parametrize('regions', [FEW, MANY])


def labels(logits, random):
    """Labels in [0, C], and some that no head should hand over."""
    drawn = torch.randint(-1, logits.size(1) + 2, logits.shape[:1], generator=random)
    return SigmoidCrossEntropy(), LabelTarget(drawn.to(logits.device))


def labels_and_score(logits, random):
    criterion, target = labels(logits, random)
    score = torch.rand(logits.shape[:1], generator=random).to(logits)
    return criterion, target._replace(score=score)


def soft_values(logits, random):
    return SigmoidCrossEntropy(), DenseTarget(torch.rand(logits.shape, generator=random).to(logits))


def boxes(deltas, random):
    values = torch.randn(deltas.shape, generator=random)
    return AuthenticSmoothL1(0.7), DenseTarget(values.to(deltas))


CASES = pytest.mark.parametrize('case', [labels, labels_and_score, soft_values, boxes])


def ambiguous(criterion, prediction, target, edges):
    """Where g is so near to an edge that rounding decides on the region."""
    norm = criterion.evaluate(prediction.double(), target).gradient_norm
    inner = edges[1:-1].double()
    if inner.numel() == 0:
        return torch.zeros_like(norm, dtype=torch.bool)
    above = torch.searchsorted(inner, norm.contiguous()).clamp(max=inner.numel() - 1)
    distance = torch.minimum((norm - inner[above]).abs(), (norm - inner[above - 1]).abs())
    return distance < 2e-6


def draw(case, regions, shape=(37, 5), dtype=torch.float32, layout=lambda matrix: matrix):
    """Criterion, prediction, target and edges, no example being ambiguous."""
    random = torch.Generator().manual_seed(0)
    edges = region_edges(regions).to(DEVICE)
    prediction = layout((torch.randn(shape, generator=random) * 3).to(DEVICE, dtype))
    criterion, target = case(prediction, random)
    while (bad := ambiguous(criterion, prediction, target, edges)).any():
        again = torch.randn(prediction.shape, generator=random).to(prediction) * 3
        prediction.copy_(again.where(bad, prediction))
    return criterion, prediction, target, edges


def weights(prediction, per_anchor=True):
    """Zeros, negative and positive numbers."""
    shape = (*prediction.shape[:-1], 1) if per_anchor else prediction.shape
    random = torch.Generator().manual_seed(1)
    return (torch.rand(shape, generator=random) * 2 - 0.6).to(prediction.device)


def assert_agrees(criterion, prediction, target, weight, edges):
    """Counts to the last one, sums and gradients to rounding."""
    ours = triton_ops.region_sums(criterion, Examples(prediction, target, weight), edges)
    oracle = reference.region_sums(criterion, Examples(prediction, target, weight), edges)
    for mine, theirs in zip(ours, oracle):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
    scale = torch.linspace(-1, 2, edges.numel() - 1, device=edges.device)
    ours = triton_ops.gradient(criterion, Examples(prediction, target, weight), edges, scale)
    oracle = reference.gradient(criterion, Examples(prediction, target, weight), edges, scale)
    # the interpreter cuts bfloat16 off where a device rounds
    rtol = {torch.bfloat16: 2**-7, torch.float16: 2**-10}.get(prediction.dtype, 1e-6)
    torch.testing.assert_close(ours, oracle, rtol=rtol, atol=1e-6, equal_nan=True)
    assert ours.stride() == torch.empty_like(prediction).stride()


@CASES
@pytest.mark.parametrize('regions', [1, 10, 30, 100, MANY])
def test_agrees_with_the_reference(case, regions):
    criterion, prediction, target, edges = draw(case, regions)
    assert_agrees(criterion, prediction, target, weights(prediction), edges)


@CASES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(case, dtype):
    criterion, prediction, target, edges = draw(case, FEW, dtype=dtype)
    assert_agrees(criterion, prediction, target, weights(prediction), edges)


@FEW_AND_MANY
@pytest.mark.parametrize(
    'shape', [(1, 1), (7, 1), (1, 80), (0, 5), (3, 0), (1001, 3), (33, 80), (5, 130)], ids=str
)
def test_any_size(shape, regions):
    criterion, prediction, target, edges = draw(labels, regions, shape)
    assert_agrees(criterion, prediction, target, weights(prediction), edges)


LAYOUTS = {
    'every other row': ((74, 5), lambda m: m[::2]),
    'every other column': ((37, 10), lambda m: m[:, ::2]),
    'classes outermost': ((5, 37), lambda m: m.t()),
    'map of one image': ((5, 6, 7), lambda m: m.permute(1, 2, 0).reshape(42, 5)),
    'channels last, levels cut out': ((3, 50, 5), lambda m: m[1, 7:44]),
    'one class of a map': ((37, 4), lambda m: m[:, 1:2]),
}


@FEW_AND_MANY
@pytest.mark.parametrize('shape, layout', LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize('case', [labels_and_score, boxes])
def test_any_strides(case, shape, layout, regions):
    criterion, prediction, target, edges = draw(case, regions, shape, layout=layout)
    assert_agrees(criterion, prediction, target, weights(prediction), edges)


def test_strides_of_labels_score_and_weight():
    criterion, prediction, target, edges = draw(labels_and_score, FEW)
    spread = [torch.stack([part] * 3, 1).flatten()[::3] for part in target]
    weight = torch.stack([weights(prediction)] * 2).transpose(0, 2)[..., 0].t()
    assert spread[0].stride() == (3,)
    assert_agrees(criterion, prediction, LabelTarget(*spread), weight, edges)


@pytest.mark.parametrize('shape', [(40,), (2, 4, 5), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize('per_anchor', [True, False])
def test_shapes_other_than_matrices(shape, per_anchor):
    criterion, prediction, target, edges = draw(soft_values, FEW, shape)
    assert_agrees(criterion, prediction, target, weights(prediction, per_anchor), edges)


@pytest.mark.parametrize('layout', ['channels minor', 'channels major'])
@FEW_AND_MANY
def test_weight_for_every_example(layout, regions):
    turn = {'channels minor': lambda m: m, 'channels major': lambda m: m.t()}[layout]
    criterion, prediction, target, edges = draw(labels, regions, (33, 33), layout=turn)
    for weight in (
        None,
        weights(prediction, per_anchor=False),
        weights(prediction, per_anchor=False) > 0,
        weights(prediction).mul(3).int(),
        torch.arange(33, device=DEVICE).remainder(3).unsqueeze(0),
    ):
        assert_agrees(criterion, prediction, target, weight, edges)


@FEW_AND_MANY
@CASES
def test_all_ignored(case, regions):
    criterion, prediction, target, edges = draw(case, regions)
    ignored = torch.zeros(len(prediction), 1, device=DEVICE)
    prediction.fill_(float('nan'))
    assert_agrees(criterion, prediction, target, ignored, edges)
    gradient = triton_ops.gradient(
        criterion,
        Examples(prediction, target, ignored),
        edges,
        torch.ones(regions, device=DEVICE),
    )
    assert (gradient == 0).all()


@FEW_AND_MANY
@CASES
def test_input_that_is_not_finite(case, regions):
    criterion, prediction, target, edges = draw(case, regions)
    bad = torch.tensor([float('nan'), float('inf'), float('-inf')], device=DEVICE)
    prediction[:3, 0] = bad
    if isinstance(target, DenseTarget):
        target.values[3:6, 1] = bad
    elif target.score is not None:
        target.score[3:6] = bad
        target.labels[3:6] = 1
    assert_agrees(criterion, prediction, target, None, edges)


@FEW_AND_MANY
@pytest.mark.parametrize('case', [labels_and_score, soft_values, boxes])
@pytest.mark.parametrize('turn', [lambda m: m, lambda m: m.t()], ids=['minor', 'major'])
def test_targets_out_of_range_are_counted(case, turn, regions):
    criterion, prediction, target, edges = draw(case, regions, (33, 33), layout=turn)
    bad = torch.tensor([-1.0, 255.0, 1.5, 1.005, float('inf')], device=DEVICE)
    if isinstance(target, DenseTarget):
        target.values[3:8, 1] = target.values[20:25, 30] = bad
    else:
        target.score[3:8] = bad
        target.labels[3:8] = torch.tensor([0, 32, 1, 2, 3])
    for weight in (None, weights(prediction), weights(prediction, per_anchor=False)):
        assert_agrees(criterion, prediction, target, weight, edges)
    found = triton_ops.region_sums(criterion, Examples(prediction, target), edges).bad_targets
    outside = {soft_values: 6, boxes: 0}
    labels_outside = case is labels_and_score and ((target.labels < 0) | (target.labels > 33)).sum()
    assert found == outside.get(case, 3) + labels_outside


@FEW_AND_MANY
def test_errors_whose_square_overflows(regions):
    criterion, prediction, target, edges = draw(boxes, regions)
    prediction[:4, 0] = torch.tensor([1e19, 3e19, -3e19, -3e38], device=DEVICE)
    assert_agrees(criterion, prediction, target, None, edges)
    assert triton_ops.region_sums(criterion, Examples(prediction, target), edges).nonfinite == 3


@FEW_AND_MANY
def test_logits_on_an_edge(regions):
    """x = 0 gives g = 1/2 exactly, which mmdet's edges put into the upper region."""
    logits = torch.tensor([[0.0], [200.0], [-200.0]], device=DEVICE)
    target = LabelTarget(torch.ones(3, dtype=torch.int64, device=DEVICE))
    edges = region_edges(regions).to(DEVICE)
    assert_agrees(SigmoidCrossEntropy(), logits, target, None, edges)
    sums = triton_ops.region_sums(SigmoidCrossEntropy(), Examples(logits, target), edges)
    assert sums.counts[[0, regions // 2, regions - 1]].tolist() == [1, 1, 1]


@pytest.mark.parametrize('programs', [1, 3])
@pytest.mark.parametrize('turn', [lambda m: m, lambda m: m.t()], ids=['minor', 'major'])
def test_programs_that_see_several_tiles(monkeypatch, programs, turn):
    monkeypatch.setattr(triton_ops, 'PROGRAMS', programs)
    shape = turn(torch.empty(1700, 6)).shape
    criterion, prediction, target, edges = draw(labels, 3, shape, layout=turn)
    assert_agrees(criterion, prediction, target, weights(prediction), edges)


@pytest.mark.parametrize('regions', [1, MANY])
def test_counters_do_not_overflow(monkeypatch, regions):
    """All in one region, and as many in a program as it may take."""
    monkeypatch.setattr(triton_ops, 'PROGRAMS', 1)
    logits = torch.full((triton_ops.EXAMPLES_PER_THREAD * 128, 1), -1.0, device=DEVICE)
    target = LabelTarget(torch.ones(len(logits), dtype=torch.int64, device=DEVICE))
    assert_agrees(SigmoidCrossEntropy(), logits, target, None, region_edges(regions).to(DEVICE))


@FEW_AND_MANY
def test_loss_sums_of_any_magnitude(regions):
    """Wrong logits up to 1e33 in the last region, easy ones with losses down to 1e-13."""
    random = torch.Generator().manual_seed(0)
    uniform = torch.rand(2000, 1, generator=random).to(DEVICE)
    large, small = 10 ** (2 + 31 * uniform), -9 - 20 * uniform
    target = LabelTarget(torch.ones(2000, dtype=torch.int64, device=DEVICE))
    for logits in (large, small):
        edges = region_edges(regions).to(DEVICE)
        arguments = SigmoidCrossEntropy(), Examples(logits, target), edges
        ours, oracle = triton_ops.region_sums(*arguments), reference.region_sums(*arguments)
        torch.testing.assert_close(ours.losses, oracle.losses, rtol=2e-6, atol=0)


@FEW_AND_MANY
def test_two_runs_agree_to_the_bit(regions):
    criterion, prediction, target, edges = draw(labels, regions, (5003, 7))
    first, second = (
        triton_ops.region_sums(criterion, Examples(prediction, target), edges) for _ in range(2)
    )
    for one, other in zip(first, second):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@FEW_AND_MANY
@pytest.mark.parametrize('turned', [False, True])
def test_more_than_2_to_the_31_elements(regions, turned):
    """Rows 2^30 elements apart, in memory of which only the touched pages come into being."""
    try:
        storage = torch.empty(3 * 2**30 + 5, dtype=torch.bfloat16, device=DEVICE)
    except RuntimeError as error:
        pytest.skip(f'needs 6 GiB of address space: {error}')
    prediction = storage.as_strided((4, 5), (2**30, 1))
    if turned:
        prediction = prediction.t()
    random = torch.Generator().manual_seed(0)
    prediction.copy_(torch.randn(prediction.shape, generator=random))
    criterion, target = boxes(prediction.float(), random)
    assert_agrees(criterion, prediction, target, None, region_edges(regions).to(DEVICE))


class Squared(AuthenticSmoothL1):
    """A user's criterion."""


@pytest.mark.parametrize(
    'change',
    [
        lambda c, x, y: (Squared(c.mu), x, y),
        lambda c, x, y: (c, x.double(), y),
        lambda c, x, y: (c, x.permute(0, 2, 1), y.permute(0, 2, 1)),
    ],
    ids=['criterion', 'float64', 'strides'],
)
def test_the_rest_is_left_to_the_reference(change):
    criterion, prediction, target, edges = draw(boxes, FEW, (3, 4, 5))
    criterion, prediction, values = change(criterion, prediction, target.values)
    arguments = (criterion, Examples(prediction, DenseTarget(values)), edges)
    ours, oracle = triton_ops.region_sums(*arguments), reference.region_sums(*arguments)
    for mine, theirs in zip(ours, oracle):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
    scale = torch.ones(FEW, device=DEVICE)
    torch.testing.assert_close(
        triton_ops.gradient(*arguments, scale),
        reference.gradient(*arguments, scale),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize('field', ['labels', 'score', 'weight'])
def test_tensors_of_another_device_are_left_to_the_reference(field):
    """Their addresses would end the process; the reference says what is wrong."""
    _, prediction, target, _ = draw(labels_and_score, FEW)
    examples = Examples(prediction, target, weights(prediction))
    elsewhere = {
        'labels': examples._replace(target=target._replace(labels=target.labels.to('meta'))),
        'score': examples._replace(target=target._replace(score=target.score.to('meta'))),
        'weight': examples._replace(weight=examples.weight.to('meta')),
    }
    assert triton_layout.level(examples) is not None
    assert triton_layout.level(elsewhere[field]) is None


@FEW_AND_MANY
def test_a_score_of_yes_and_no(regions):
    criterion, prediction, target, edges = draw(labels, regions)
    score = torch.arange(len(prediction), device=DEVICE) % 2 == 0
    assert_agrees(criterion, prediction, target._replace(score=score), None, edges)


@FEW_AND_MANY
def test_a_loss_that_overflows_stays_within_its_memory(regions):
    criterion, prediction, target, edges = draw(soft_values, regions)
    prediction[3, 1], target.values[3, 1] = 3.4028e38, -0.005
    examples = Examples(prediction, target)
    ours, oracle = (
        module.region_sums(criterion, examples, edges).counts for module in (triton_ops, reference)
    )
    torch.testing.assert_close(ours, oracle)


def test_cpu_without_the_interpreter_is_refused(monkeypatch):
    monkeypatch.setattr(triton_ops, 'INTERPRETED', False)
    logits = torch.zeros(2, 3)
    target = LabelTarget(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match='needs a CUDA device'):
        triton_ops.region_sums(SigmoidCrossEntropy(), Examples(logits, target), region_edges(FEW))


LEVELS = {
    'alike': [labels, labels, labels],
    'of several kinds': [labels, labels_and_score, soft_values],
    'boxes': [boxes, boxes],
}


@FEW_AND_MANY
@pytest.mark.parametrize('cases', LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize('factors', [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (1.0, 0.5, 2.0)], ids=str)
def test_levels_make_the_sums_of_all_their_examples(cases, factors, regions):
    """Of several sizes, dtypes, layouts and kinds of weight; the last has NaN and infinity."""
    changes = [
        dict(shape=(300, 5)),
        dict(shape=(5, 7), layout=lambda m: m.t(), dtype=torch.bfloat16),
        dict(shape=(1, 5)),
    ]
    batch = []
    for case, factor, change in zip(cases, factors, changes):
        criterion, prediction, target, edges = draw(case, regions, **change)
        batch.append(Examples(prediction, target, weights(prediction, len(batch) != 1), factor))
    batch[-1].prediction[0, :2] = torch.tensor([torch.nan, torch.inf], device=DEVICE)
    batch[-1] = batch[-1]._replace(weight=None)
    ours = level_sums_by(triton_ops, criterion, batch, edges)
    parts = [reference.region_sums(criterion, level, edges) for level in batch]
    oracle = total_of_levels(batch, parts)
    assert oracle[1].tolist() == [*[0] * (len(batch) - 1), 2]
    torch.testing.assert_close(tuple(ours[0]), tuple(oracle[0]), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours[1], oracle[1])


def test_levels_that_the_kernels_cannot_take_are_left_to_the_reference():
    criterion, prediction, target, edges = draw(labels, FEW)
    double = Examples(prediction[:9].double(), LabelTarget(target.labels[:9]))
    batch = [Examples(prediction, target), double]
    (ours, _) = level_sums_by(triton_ops, criterion, batch, edges)
    parts = [reference.region_sums(criterion, level, edges) for level in batch]
    torch.testing.assert_close(tuple(ours), tuple(RegionSums.total(parts)), rtol=1e-6, atol=1e-6)


def run_apart(tmp_path, *arguments):
    """Python in a process in which Triton is not interpreted."""
    environment = {
        **os.environ,
        'PYTHONPATH': str(Path(__file__).resolve().parents[2]),
        'TRITON_INTERPRET': '0',
        'TRITON_CACHE_DIR': str(tmp_path),
    }
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=600
    )


def test_kernels_compile_for_cuda(tmp_path):
    done = run_apart(tmp_path, str(Path(__file__).with_name('compile_triton_kernels.py')))
    assert done.returncode == 0, done.stderr[-2000:]
    kernels = {line.split()[0] for line in done.stdout.splitlines()}
    assert kernels == {
        'few_regions_kernel',
        'many_regions_kernel',
        'gradient_kernel',
        'loss_from_sums_kernel',
    }


def test_importing_the_package_does_not_import_triton(tmp_path):
    # None makes every import of it fail; torch, which tries, does without
    code = 'import sys; sys.modules["triton"] = None; import ghm_mmdet.losses'
    done = run_apart(tmp_path, '-c', code)
    assert done.returncode == 0, done.stderr[-2000:]


@NEEDS_CUDA
@FEW_AND_MANY
def test_nothing_waits_for_the_device_and_a_graph_captures_it(regions):
    criterion, prediction, target, edges = draw(labels, regions, (1001, 80))
    examples = Examples(prediction, target, weights(prediction))

    def step():
        sums = triton_ops.region_sums(criterion, examples, edges)
        return sums, triton_ops.gradient(criterion, examples, edges, sums.losses)

    expected = step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(captured, expected, rtol=0, atol=0)


@NEEDS_CUDA
def test_no_memory_but_the_gradient():
    """Peak above the logits: 1.1 times their size."""
    criterion, prediction, target, edges = draw(labels, FEW, (200_000, 80))
    size = prediction.numel() * prediction.element_size()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    sums = triton_ops.region_sums(criterion, Examples(prediction, target), edges)
    triton_ops.gradient(criterion, Examples(prediction, target), edges, sums.losses)
    assert torch.cuda.max_memory_allocated() - before < 1.1 * size
