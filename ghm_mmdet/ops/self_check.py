"""Checks on a device that the Triton kernels agree with the reference back end.

The kernels are compiled when they are first called, with the compiler and driver of the machine.
A few thousand made-up examples show whether the result is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import LabelTarget, SigmoidCrossEntropy
from ghm_mmdet.method.density import UnitRegionDensity, region_edges
from ghm_mmdet.ops import reference
from ghm_mmdet.ops.examples import Examples, RegionSums, level_sums_by
from ghm_mmdet.ops.from_sums import Harmonized, Reduction, loss_from_sums

SHAPE = (1001, 5)
FIRST = 600  # anchors of the first level; the second has the rest
# Few and many regions have kernels of their own. The last number is the relative tolerance of the
# gradient: devices round differently, but a miscompiled kernel is off by more.
CASES = ((torch.float32, 30, 1e-4), (torch.bfloat16, 3840, 2**-7))
# Numbers of regions and balances: the paper's balance, and the one that is hardest to compile, once
# inside the kernel of the sums (30 regions) and once in a kernel of its own (100).
KEEPS = Balance('gradient', 0.75, 'keep')
BALANCES = ((30, Balance()), (30, KEEPS), (100, KEEPS))
NEAR_AN_EDGE = 2e-6  # where rounding decides on the region

CRITERION = SigmoidCrossEntropy()

_obstacles: dict[torch.device, str | None] = {}


def triton_obstacle(device: torch.device) -> str | None:
    """Why the Triton back end cannot be used on a CUDA device, in one line; None if it can.

    The first call for a device compiles kernels and waits for them; later calls use its result.
    """
    if device not in _obstacles:
        if torch.cuda.is_current_stream_capturing():
            return 'nothing was computed on this device before a CUDA graph was captured'
        _obstacles[device] = _find_obstacle(device)
    return _obstacles[device]


def disagreement(backend: ModuleType, device: torch.device) -> str | None:
    """The first result of a back end that differs from the reference on the CPU, or None.

    Args:
        backend: Has the functions of :mod:`ghm_mmdet.ops.reference`, and may have ``level_sums``.
        device: Where it computes.
    """
    for dtype, regions, tolerance in CASES:
        examples, edges = _made_up_examples(dtype, regions)
        expected = _results(reference, examples, edges)
        found = _results(backend, _moved(examples, device), edges.to(device))
        for name, values in expected.items():
            rtol = tolerance if name == 'gradient' else 1e-5
            if not torch.allclose(found[name].cpu().double(), values.double(), rtol, atol=1e-6):
                return f'its {name} of {dtype} examples in {regions} regions are wrong'
    return None


def loss_disagreement(compute: Callable[..., Harmonized], device: torch.device) -> str | None:
    """The first loss from region sums that differs from the reference on the CPU, or None.

    Args:
        compute: Has the arguments of :func:`ghm_mmdet.ops.from_sums.loss_from_sums`.
        device: Where it computes.
    """
    with torch.device('cpu'):
        results = [
            (
                _loss(loss_from_sums, regions, balance, torch.device('cpu')),
                _loss(compute, regions, balance, device),
            )
            for regions, balance in BALANCES
        ]
    for (regions, _), (expected, found) in zip(BALANCES, results):
        pairs = zip(expected, found)
        if not all(torch.allclose(theirs, mine, rtol=1e-4, atol=1e-6) for mine, theirs in pairs):
            return f'its loss of the sums in {regions} regions is wrong'
    return None


def harmonized_disagreement(backend: ModuleType, device: torch.device) -> str | None:
    """The first loss of a back end, or its gradient, that differs from the reference, or None.

    Args:
        backend: See :func:`disagreement`; it may have ``harmonized_loss`` and ``level_gradients``.
        device: Where it computes.
    """
    for regions, balance in BALANCES:
        expected = _harmonized(reference, regions, balance, torch.device('cpu'))
        found = _harmonized(backend, regions, balance, device)
        for one, other in zip(found, expected):
            if not torch.allclose(one.cpu().double(), other.double(), rtol=1e-4, atol=1e-6):
                return f'its loss of examples in {regions} regions is wrong'
    return None


def _harmonized(
    backend: ModuleType, regions: int, balance: Balance, device: torch.device
) -> list[Tensor]:
    """Results, averages and gradients of the second of two calls in training."""
    # imported here, because it imports this module
    from ghm_mmdet.ops.function import harmonized_loss

    examples, _ = _made_up_examples(torch.float32, regions)
    # with targets out of range the moving average would not change on a CPU
    target, classes = examples.target, SHAPE[1]
    assert isinstance(target, LabelTarget)
    labels = target.labels
    labels = labels.where((labels >= 0) & (labels <= classes), classes)
    examples = _moved(examples._replace(target=LabelTarget(labels)), device)
    levels = [examples.rows(slice(FIRST)), examples.rows(slice(FIRST, None))]
    leaves = [level.prediction.detach().requires_grad_() for level in levels]
    levels = [level._replace(prediction=leaf) for level, leaf in zip(levels, leaves)]
    density = UnitRegionDensity(regions, momentum=0.75, bias_correction=True).to(device)
    reduction = Reduction(mean=True, by_weight=False, loss_weight=1.0)
    with torch.enable_grad():
        for _ in range(2):
            result = harmonized_loss(
                CRITERION, levels, density, balance, reduction, updates=True, backend=backend
            )
        gradients = torch.autograd.grad(1000 * result.loss, leaves)
    return [each.detach() for each in (*result, *density.state, *gradients)]


def _loss(
    compute: Callable[..., Harmonized],
    regions: int,
    balance: Balance,
    device: torch.device,
) -> list[Tensor]:
    """Loss, weights, scales and moving averages of made-up sums, float64, on the CPU."""
    counts, zero = torch.arange(regions) % 7, torch.zeros((), dtype=torch.int64)
    losses = counts.float().sqrt()
    made_up = RegionSums(counts, losses, losses.sum(), zero, zero)
    sums = RegionSums(*(each.to(device) for each in made_up))
    density = UnitRegionDensity(regions, momentum=0.75, bias_correction=True).to(device)
    reduction = Reduction(mean=True, by_weight=False, loss_weight=1.0)
    result = compute(density, balance, reduction, sums, sums, sums.nonfinite)
    return [each.cpu().double() for each in (*result, *density.state)]


def _find_obstacle(device: torch.device) -> str | None:
    try:
        with _waiting_allowed():
            backend = import_module('ghm_mmdet.ops.triton_ops')
            wrong = disagreement(backend, device)
            fused = import_module('ghm_mmdet.ops.triton_from_sums').loss_from_sums
            wrong = wrong or loss_disagreement(fused, device)
            return wrong or harmonized_disagreement(backend, device)
    # a missing package, a compiler and a driver raise different errors
    except Exception as error:
        return ' '.join(f'{type(error).__name__}: {error}'.split())


@contextmanager
def _waiting_allowed() -> Iterator[None]:
    """Allow host synchronisations inside, also where a user has made them an error."""
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('default')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def _made_up_examples(dtype: torch.dtype, regions: int) -> tuple[Examples, Tensor]:
    """Logits and labels on the CPU, and edges; anchors are ignored where rounding decides."""
    # neither the global random state nor a user's default device plays a part
    random = torch.Generator().manual_seed(0)
    with torch.device('cpu'):
        edges = region_edges(regions)
        logits = (torch.randn(SHAPE, generator=random) * 3).to(dtype)
        # some of them are outside [0, C]
        labels = torch.randint(-1, SHAPE[1] + 2, SHAPE[:1], generator=random)
        weight = torch.rand(SHAPE[0], 1, generator=random) - 0.3
    target = LabelTarget(labels)
    norm = CRITERION.evaluate(logits.double(), target).gradient_norm
    near = ((norm * regions).round() / regions - norm).abs() < NEAR_AN_EDGE
    weight = weight.masked_fill(near.any(1, keepdim=True), 0)
    return Examples(logits, target, weight), edges


def _moved(examples: Examples, device: torch.device) -> Examples:
    prediction, target, weight, _ = examples
    moved = target.map(lambda each: each.to(device))
    return Examples(prediction.to(device), moved, None if weight is None else weight.to(device))


def _results(backend: ModuleType, examples: Examples, edges: Tensor) -> dict[str, Tensor]:
    """Region sums of the examples in two levels, and their gradient."""
    levels = [examples.rows(slice(FIRST)), examples.rows(slice(FIRST, None))]
    sums, _ = level_sums_by(backend, CRITERION, levels, edges)
    scale = torch.linspace(-1, 2, edges.numel() - 1, device=edges.device)
    gradient = backend.gradient(CRITERION, examples, edges, scale)
    return {**sums._asdict(), 'gradient': gradient}
