"""Whether the Triton kernels compute on a device what the reference back end does.

They are compiled when they are first called, by whatever compiler and driver is there: a few
thousand made-up examples tell whether that went well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import LabelTarget, SigmoidCrossEntropy
from ghm_mmdet.method.density import UnitRegionDensity, region_edges
from ghm_mmdet.ops import reference
from ghm_mmdet.ops.harmonize import Harmonized, Reduction, in_turn
from ghm_mmdet.ops.sums import Level, RegionSums, sums_by

SHAPE = (1001, 5)
FIRST = 600  # anchors of the first level; the second has the rest
# Few and many regions have kernels of their own. The last number is the relative tolerance of the
# gradient: devices round differently, but a miscompiled kernel is off by more.
CASES = ((torch.float32, 30, 1e-4), (torch.bfloat16, 3840, 2**-7))
# The paper's, and what takes the most of the compiler, with the number of regions.
BALANCES = ((30, Balance()), (100, Balance('gradient', 0.75, 'keep')))
NEAR_AN_EDGE = 2e-6  # where rounding decides on the region

_obstacles: dict[torch.device, str | None] = {}


class Call(NamedTuple):
    """Arguments of a back end's functions."""

    criterion: SigmoidCrossEntropy
    prediction: Tensor
    target: LabelTarget
    weight: Tensor
    edges: Tensor

    def to(self, device: torch.device) -> Call:
        """The same call on another device."""
        return Call(
            self.criterion,
            self.prediction.to(device),
            LabelTarget(self.target.labels.to(device)),
            self.weight.to(device),
            self.edges.to(device),
        )


def triton_obstacle(device: torch.device) -> str | None:
    """Why the Triton back end cannot be used on a CUDA device, in one line; None if it can.

    The first call for a device compiles kernels and waits for them; later ones remember.
    """
    if device not in _obstacles:
        if torch.cuda.is_current_stream_capturing():
            return 'nothing was computed on this device before a CUDA graph was captured'
        _obstacles[device] = _find_obstacle(device)
    return _obstacles[device]


def disagreement(backend: ModuleType, device: torch.device) -> str | None:
    """What a back end computes otherwise than the reference on the CPU, in one line, or None.

    Args:
        backend: Has the functions of :mod:`ghm_mmdet.ops.reference`, and may have ``level_sums``.
        device: Where it computes.
    """
    for dtype, regions, tolerance in CASES:
        call = _made_up_call(dtype, regions)
        expected, found = _results(reference, call), _results(backend, call.to(device))
        for name, values in expected.items():
            rtol = tolerance if name == 'gradient' else 1e-5
            if not torch.allclose(found[name].cpu().double(), values.double(), rtol, atol=1e-6):
                return f'its {name} of {dtype} examples in {regions} regions are wrong'
    return None


def harmonizing_disagreement(
    harmonize: Callable[..., Harmonized], device: torch.device
) -> str | None:
    """What a function makes of region sums otherwise than the reference on the CPU, or None.

    Args:
        harmonize: Has the arguments of :func:`ghm_mmdet.ops.harmonize.in_turn`.
        device: Where it computes.
    """
    with torch.device('cpu'):
        results = [
            (
                _harmonized(in_turn, regions, balance, torch.device('cpu')),
                _harmonized(harmonize, regions, balance, device),
            )
            for regions, balance in BALANCES
        ]
    for (regions, _), (expected, found) in zip(BALANCES, results, strict=True):
        pairs = zip(expected, found, strict=True)
        if not all(torch.allclose(theirs, mine, rtol=1e-4, atol=1e-6) for mine, theirs in pairs):
            return f'its loss of the sums in {regions} regions is wrong'
    return None


def _harmonized(
    harmonize: Callable[..., Harmonized],
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
    reduction = Reduction(1.0, mean=True, by_weight=False, skips=False)
    result = harmonize(density, balance, reduction, sums, sums, sums.nonfinite)
    return [each.cpu().double() for each in (*result, *density.state)]


def _find_obstacle(device: torch.device) -> str | None:
    try:
        with _waiting_allowed():
            wrong = disagreement(import_module('ghm_mmdet.ops.triton_ops'), device)
            fused = import_module('ghm_mmdet.ops.triton_harmonize').harmonized_loss
            return wrong or harmonizing_disagreement(fused, device)
    # a package that is missing, a compiler, a driver: each raises something else
    except Exception as error:
        return ' '.join(f'{type(error).__name__}: {error}'.split())


@contextmanager
def _waiting_allowed() -> Iterator[None]:
    """A user's own search for host synchronisations must not make the check fail."""
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('default')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)


def _made_up_call(dtype: torch.dtype, regions: int) -> Call:
    """Logits and labels on the CPU; anchors are ignored at random and where rounding decides."""
    # neither the global random state nor a user's default device plays a part
    random = torch.Generator().manual_seed(0)
    with torch.device('cpu'):
        edges = region_edges(regions)
        logits = (torch.randn(SHAPE, generator=random) * 3).to(dtype)
        # some of them are outside [0, C]
        labels = torch.randint(-1, SHAPE[1] + 2, SHAPE[:1], generator=random)
        weight = torch.rand(SHAPE[0], 1, generator=random) - 0.3
    criterion, target = SigmoidCrossEntropy(), LabelTarget(labels)
    norm = criterion.evaluate(logits.double(), target).gradient_norm
    near = ((norm * regions).round() / regions - norm).abs() < NEAR_AN_EDGE
    return Call(criterion, logits, target, weight.masked_fill(near.any(1, keepdim=True), 0), edges)


def _results(backend: ModuleType, call: Call) -> dict[str, Tensor]:
    """Region sums of the call in two levels, and its gradient."""
    tensors = (call.prediction, call.target.labels, call.weight)
    levels = [
        Level(prediction, LabelTarget(labels), weight)
        for prediction, labels, weight in zip(*(each.split(FIRST) for each in tensors), strict=True)
    ]
    sums, _ = sums_by(backend, call.criterion, levels, call.edges)
    scale = torch.linspace(-1, 2, call.edges.numel() - 1, device=call.edges.device)
    return {**sums._asdict(), 'gradient': backend.gradient(*call, scale)}
