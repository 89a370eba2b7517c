"""Predictions that are not contiguous: what comes back, and what is copied on the way."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import region_edges
from ghm_mmdet.ops import Examples, function, operators, torch_ops
from tests.back_ends import NEEDS_TORCH_2_8

EDGES = region_edges(10)
MATRICES = {
    'contiguous': lambda n, c: torch.randn(n, c),
    'transposed': lambda n, c: torch.randn(c, n).t(),
    'padded rows': lambda n, c: torch.randn(n, c + 3)[:, :c],
    'every other row': lambda n, c: torch.randn(2 * n, c)[::2],
    'map of one image': lambda n, c: torch.randn(1, c, 4, n // 4).permute(0, 2, 3, 1).view(n, c),
    'channels last': lambda n, c: (
        torch.randn(1, c, 4, n // 4)
        .to(memory_format=torch.channels_last)
        .permute(0, 2, 3, 1)
        .view(n, c)
    ),
}
MAPS = {
    'maps': lambda: torch.randn(2, 5, 3, 4).permute(0, 2, 3, 1),
    'maps, channels last': lambda: (
        torch.randn(2, 5, 3, 4).to(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    ),
    'one pixel': lambda: torch.randn(1, 5, 1, 1).permute(0, 2, 3, 1),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class LargeResults(TorchDispatchMode):
    """Keeps the names of the operations that fill new memory of at least so many elements."""

    def __init__(self, elements):
        super().__init__()
        self.elements = elements
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.numel() >= self.elements:
            shares = any(
                isinstance(each, torch.Tensor)
                and each.untyped_storage().data_ptr() == result.untyped_storage().data_ptr()
                for each in (*args, *(kwargs or {}).values())
            )
            if not shares:
                self.names.append(function.name())
        return result


@NEEDS_TORCH_2_8
@pytest.mark.parametrize('layout', [*MATRICES, *MAPS])
def test_results_have_the_layout_that_compiled_graphs_expect(layout, backend):
    if layout in MATRICES:
        prediction = MATRICES[layout](24, 5)
        target = torch.randint(0, 6, (24,)), None, None
    else:
        prediction = MAPS[layout]()
        target = None, None, torch.rand(prediction.shape)
    key, scale = SigmoidCrossEntropy().key, torch.rand(10)
    weight = torch.rand(*prediction.shape[:-1], 1) - 0.3
    inputs = *target, weight, EDGES
    above = torch.rand(prediction.shape)
    needs_grad = prediction.detach().requires_grad_()
    for operator, arguments in {
        operators._region_sums: (needs_grad, *inputs, key, None),
        operators._region_sums_gradient: (scale, prediction, *inputs, key, None),
        operators._example_losses: (needs_grad, *inputs, scale, key),
        operators._example_losses_gradient: (above, prediction, *inputs, scale, key),
    }.items():
        checks = ('test_schema', 'test_autograd_registration', 'test_faketensor')
        torch.library.opcheck(operator, arguments, test_utils=checks)


@NEEDS_TORCH_2_8
@pytest.mark.parametrize('layout', MATRICES)
@pytest.mark.parametrize('form', ['labels', 'labels and score', 'values', 'boxes'])
def test_a_loss_copies_nothing_before_its_operators(layout, form, monkeypatch):
    # through the dispatcher, where an operator hides what it does itself
    monkeypatch.setattr(function, 'EXACT_TYPES', ())
    prediction = MATRICES[layout](24, 5).requires_grad_()
    labels = torch.randint(0, 6, (24,))
    target = {'labels': labels, 'labels and score': (labels, torch.rand(24))}.get(form)
    loss = GHMRLoss() if form == 'boxes' else GHMCLoss(use_sigmoid=True, momentum=0.75)
    with LargeResults(prediction.numel()) as seen:
        value = loss(prediction, torch.rand(24, 5) if target is None else target, torch.ones(24))
        value.backward()
    allowed = {'aten::rand', 'ghm_mmdet::region_sums_gradient'}
    assert {*seen.names} - allowed == set()


@pytest.mark.parametrize('layout', MATRICES)
@pytest.mark.parametrize('form', ['labels', 'labels and score', 'boxes'])
def test_the_cpu_back_end_makes_nothing_as_large_but_the_gradient(layout, form):
    rows, columns = 2**15, 64
    prediction = MATRICES[layout](rows, columns)
    labels = torch.randint(0, columns + 1, (rows,))
    criterion = AuthenticSmoothL1(0.02) if form == 'boxes' else SigmoidCrossEntropy()
    target = {
        'labels': LabelTarget(labels),
        'labels and score': LabelTarget(labels, torch.rand(rows)),
        'boxes': DenseTarget(MATRICES[layout](rows, columns)),
    }[form]
    call = criterion, Examples(prediction, target, torch.rand(rows, 1) - 0.3), EDGES
    with LargeResults(prediction.numel()) as seen:
        torch_ops.region_sums(*call)
        assert seen.names == []
        torch_ops.gradient(*call, torch.rand(10))
    assert seen.names == ['aten::empty_like']
