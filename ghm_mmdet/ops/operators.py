"""Region sums and weighted example losses as differentiable PyTorch operators.

With unit regions L = (1/N) sum_i beta_i l_i = (1/N) sum_j beta_j (sum of l_i over region j), so the
forward pass needs only counts and loss sums per region, and the backward pass multiplies each
example's own gradient by the gradient of its region's sum. Only the inputs are saved.

They are custom operators so that torch.compile sees one opaque node each, with a criterion's key in
place of the object. The back end is chosen inside, when they run, by the device and the name that
was forced in the call. So a compiled graph is not bound to a back end, the choice is not traced,
and the backward pass has the back end of the forward pass. PyTorch's dispatcher runs much Python
for such an operator; outside a compiled graph :mod:`ghm_mmdet.ops.function` avoids it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import Criterion, working_dtype
from ghm_mmdet.ops import backends, reference
from ghm_mmdet.ops.compiling import custom_op
from ghm_mmdet.ops.examples import Examples, RegionSums

# The schemas are written out, as Python 3.9 cannot evaluate the annotations.
TENSORS = 'Tensor prediction, Tensor? labels, Tensor? score, Tensor? values, Tensor? weight'
OF_REGIONS = f'{TENSORS}, Tensor edges, str criterion, str? backend'
OF_EXAMPLES = f'{TENSORS}, Tensor edges, Tensor beta, str criterion'
FIVE = '(Tensor, Tensor, Tensor, Tensor, Tensor)'


def region_sums(criterion: Criterion, examples: Examples, edges: Tensor) -> RegionSums:
    """Counts and differentiable loss sums per region of the gradient norm.

    Args:
        criterion: Of the examples.
        examples: Their factor is not applied.
        edges: Region edges, shape (M + 1,).
    """
    return RegionSums(*_region_sums(*examples.tensors, edges, criterion.key, backends.forced()))


def example_losses(criterion: Criterion, examples: Examples, edges: Tensor, beta: Tensor) -> Tensor:
    """beta_i l_i of every example, 0 where it is ignored; beta is constant in the backward pass.

    The result has the shape of the criterion's examples.

    Args:
        criterion: Of the examples.
        examples: Their factor is not applied.
        edges: Region edges, shape (M + 1,).
        beta: Weight per region, shape (M,).
    """
    return _example_losses(*examples.tensors, edges, beta, criterion.key)


def laid_out_as(prediction: Tensor, values: Tensor) -> Tensor:
    """The values in the memory layout of ``empty_like``, in which compiled graphs expect them."""
    if prediction.is_contiguous() and values.is_contiguous():
        return values
    layout = torch.empty_like(prediction, device='meta').stride()
    if values.stride() == layout:
        return values
    return torch.empty_like(prediction, dtype=values.dtype).copy_(values)


def _compute_sums(
    prediction: Tensor,
    labels: Tensor | None,
    score: Tensor | None,
    values: Tensor | None,
    weight: Tensor | None,
    edges: Tensor,
    criterion: str,
    backend: str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    examples = Examples.of_tensors(prediction, labels, score, values, weight)
    module = backends.module_for(prediction.device, backend)
    return tuple(module.region_sums(Criterion.by_key(criterion), examples, edges))


_region_sums = custom_op(
    'ghm_mmdet::region_sums', _compute_sums, mutates_args=(), schema=f'({OF_REGIONS}) -> {FIVE}'
)


@_region_sums.register_fake
def _(prediction, labels, score, values, weight, edges, criterion, backend):
    regions, dtype = edges.numel() - 1, working_dtype(prediction)
    return (
        prediction.new_empty(regions, dtype=torch.int64),
        prediction.new_empty(regions, dtype=dtype),
        prediction.new_empty((), dtype=dtype),
        prediction.new_empty((), dtype=torch.int64),
        prediction.new_empty((), dtype=torch.int64),
    )


def _compute_gradient(
    scale: Tensor,
    prediction: Tensor,
    labels: Tensor | None,
    score: Tensor | None,
    values: Tensor | None,
    weight: Tensor | None,
    edges: Tensor,
    criterion: str,
    backend: str | None,
) -> Tensor:
    examples = Examples.of_tensors(prediction, labels, score, values, weight)
    module = backends.module_for(prediction.device, backend)
    gradient = module.gradient(Criterion.by_key(criterion), examples, edges, scale)
    return laid_out_as(prediction, gradient)


_region_sums_gradient = custom_op(
    'ghm_mmdet::region_sums_gradient',
    _compute_gradient,
    mutates_args=(),
    schema=f'(Tensor scale, {OF_REGIONS}) -> Tensor',
)


@_region_sums_gradient.register_fake
def _(scale, prediction, *arguments):
    return torch.empty_like(prediction)


def _save_region_sums(ctx, inputs, output):
    *tensors, ctx.criterion, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _region_sums_backward(ctx, _counts, scale, _weight_sum, _nonfinite, _bad_targets):
    gradient = _region_sums_gradient(scale, *ctx.saved_tensors, ctx.criterion, ctx.backend)
    return gradient, *[None] * 7


_region_sums.register_autograd(_region_sums_backward, setup_context=_save_region_sums)


@custom_op('ghm_mmdet::example_losses', mutates_args=(), schema=f'({OF_EXAMPLES}) -> Tensor')
def _example_losses(
    prediction: Tensor,
    labels: Tensor | None,
    score: Tensor | None,
    values: Tensor | None,
    weight: Tensor | None,
    edges: Tensor,
    beta: Tensor,
    criterion: str,
) -> Tensor:
    examples = Examples.of_tensors(prediction, labels, score, values, weight)
    chosen = Criterion.by_key(criterion)
    losses = reference.example_losses(chosen, examples, edges, beta)
    return laid_out_as(chosen.examples(prediction), losses)


@_example_losses.register_fake
def _(prediction, *arguments):
    *_, criterion = arguments
    examples = Criterion.by_key(criterion).examples(prediction)
    return torch.empty_like(examples, dtype=working_dtype(prediction))


@custom_op(
    'ghm_mmdet::example_losses_gradient',
    mutates_args=(),
    schema=f'(Tensor grad_output, {OF_EXAMPLES}) -> Tensor',
)
def _example_losses_gradient(
    grad_output: Tensor,
    prediction: Tensor,
    labels: Tensor | None,
    score: Tensor | None,
    values: Tensor | None,
    weight: Tensor | None,
    edges: Tensor,
    beta: Tensor,
    criterion: str,
) -> Tensor:
    examples = Examples.of_tensors(prediction, labels, score, values, weight)
    chosen = Criterion.by_key(criterion)
    gradient = reference.gradient(chosen, examples, edges, beta, grad_output)
    return laid_out_as(prediction, gradient)


@_example_losses_gradient.register_fake
def _(grad_output, prediction, *arguments):
    return torch.empty_like(prediction)


def _save_example_losses(ctx, inputs, output):
    *tensors, ctx.criterion = inputs
    ctx.save_for_backward(*tensors)


def _example_losses_backward(ctx, grad_output):
    gradient = _example_losses_gradient(grad_output, *ctx.saved_tensors, ctx.criterion)
    return gradient, *[None] * 7


_example_losses.register_autograd(_example_losses_backward, setup_context=_save_example_losses)
