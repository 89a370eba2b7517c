"""Compiles for CUDA, without a device, every kernel that calls of the Triton back end launch.

The interpreter accepts much that the compiler refuses. ``test_triton_ops.py`` runs this file in a
process of its own, where Triton is not interpreted.
"""

from __future__ import annotations

import inspect

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, mangle_type

from ghm_mmdet.method.balance import Balance
from ghm_mmdet.method.criteria import (
    AuthenticSmoothL1,
    DenseTarget,
    LabelTarget,
    SigmoidCrossEntropy,
)
from ghm_mmdet.method.density import UnitRegionDensity, region_edges
from ghm_mmdet.ops import triton_from_sums, triton_kernels, triton_ops
from ghm_mmdet.ops.examples import Examples, RegionSums
from ghm_mmdet.ops.from_sums import Reduction

TARGETS = [GPUTarget('cuda', capability, 32) for capability in (80, 90)]


def compile_only(kernel, *arguments, grid, warmup, **keywords):
    """In place of a launch: compile the kernel for these arguments."""
    options = {'num_warps': keywords.pop('num_warps', 4)}
    bound = inspect.signature(kernel.fn).bind(*arguments, **keywords)
    signature, constants, attributes = {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = bound.arguments[parameter.name]
        if parameter.is_constexpr:
            signature[parameter.name], constants[index,] = 'constexpr', value
        else:
            specializes = not parameter.do_not_specialize
            signature[parameter.name] = _type(value, (index,), constants, attributes, specializes)
    source = ASTSource(kernel, signature, constants, attributes)
    binaries = [triton.compile(source, target, options) for target in TARGETS]
    # Triton refuses every launch after a change of these: a NaN is unequal to itself
    for (name, _), (value, module) in kernel.used_global_vals.items():
        if module[name] != value:
            raise SystemExit(f'{kernel.__name__}: the global {name} seems to change')
    for binary in binaries:
        print(kernel.__name__, len(binary.asm['cubin']))
        if kernel is triton_from_sums.loss_from_sums_kernel and options['num_warps'] > 1:
            check_order(binary.asm['ptx'])
        if kernel is triton_kernels.few_regions_kernel:
            check_ticket(binary.asm['ptx'])
        # where each example has a weight, it has a mask of its own; so it has along anchors
        given = bound.arguments
        masked = given.get('WEIGHT') == 'example' or given.get('ANCHORS_MINOR')
        if not masked and given.get('ALIGNED', [False])[0] and given['classes'] % 16 == 0:
            check_vectors(kernel, binary.asm['ptx'])


def check_order(ptx):
    """No warp may store the moving average before all have read it."""
    loads, barrier, stores = (ptx.find(each) for each in ('ld.global', 'bar.sync', 'st.global'))
    if not 0 < loads < barrier < stores:
        raise SystemExit('loss_from_sums_kernel: stores without waiting for all warps')


def check_vectors(kernel, ptx):
    """Rows that begin at 16 bytes are read, and gradients written, 16 bytes at a time."""
    writes = kernel is triton_kernels.gradient_kernel
    for access in ('ld.global.v4', *(['st.global.v4'] if writes else [])):
        if access not in ptx:
            raise SystemExit(f'{kernel.__name__}: no {access} where all is aligned')


def check_ticket(ptx):
    """All warps have to have stored before their program counts as finished."""
    ticket = ptx.find('atom.global.gpu.acq_rel')
    barrier, last = ptx.rfind('bar.sync', 0, ticket), ptx.rfind('st.global', 0, ticket)
    if not 0 < last < barrier < ticket:
        raise SystemExit('few_regions_kernel: counts as finished before all warps have stored')


def _type(value, path, constants, attributes, specializes=True):
    if isinstance(value, tuple):
        return tuple(_type(part, (*path, i), constants, attributes) for i, part in enumerate(value))
    if isinstance(value, int) and value == 1 and specializes:
        constants[path] = value
        return 'constexpr'
    if isinstance(value, int) and value % 16 == 0 and specializes:
        attributes[path] = [['tt.divisibility', 16]]
    return mangle_type(value)


def call(criterion, prediction, target, weight, regions):
    """Both functions of the back end."""
    edges = region_edges(regions)
    examples = Examples(prediction, target, weight)
    sums = triton_ops.region_sums(criterion, examples, edges)
    triton_ops.gradient(criterion, examples, edges, sums.losses)


def call_at_once(criterion, levels, density, balance):
    """The loss of several levels in one piece."""
    how = Reduction(mean=True, by_weight=False, loss_weight=1.0)
    result = triton_ops.harmonized_loss(criterion, levels, density, balance, how, updates=True)
    assert result is not None


def harmonize(regions, balance, **state):
    """The kernel behind them."""
    counts, losses = torch.ones(regions, dtype=torch.int64), torch.zeros(regions)
    none = torch.zeros((), dtype=torch.int64)
    sums = RegionSums(counts, losses, torch.zeros(()), none, none)
    density = UnitRegionDensity(regions, **state)
    how = Reduction(mean=True, by_weight=False, loss_weight=1.0)
    triton_from_sums.loss_from_sums(density, balance, how, sums, sums, sums.nonfinite)


if __name__ == '__main__':
    JITFunction.run = compile_only
    triton_ops.INTERPRETED = True
    anchors, classes = 300, 80
    logits = torch.zeros(anchors, classes, dtype=torch.bfloat16)
    labels, ones = torch.zeros(anchors, dtype=torch.int64), torch.ones(anchors, 1)
    boxes = torch.zeros(anchors, 4)
    cross_entropy = SigmoidCrossEntropy()
    call(cross_entropy, logits, LabelTarget(labels), ones, 4)
    call(cross_entropy, logits, LabelTarget(labels, ones[:, 0]), None, 3840)
    call(cross_entropy, logits[:, :1].float(), LabelTarget(labels), ones, 1)
    call(cross_entropy, logits.half().t(), DenseTarget(logits.t()), None, 4)
    call(AuthenticSmoothL1(0.02), boxes, DenseTarget(boxes), torch.ones(anchors, 4), 4)
    two = 2 * [Examples(logits, LabelTarget(labels), ones)]
    small_data = Balance('gradient', 0.75, 'keep')
    corrected = UnitRegionDensity(30, 'paper', momentum=0.75, bias_correction=True)
    call_at_once(cross_entropy, two, UnitRegionDensity(30, momentum=0.75), Balance())
    call_at_once(cross_entropy, two, corrected, small_data)
    harmonize(30, Balance(), momentum=0.75)
    harmonize(30, small_data)
    harmonize(100, small_data, momentum=0.75, bias_correction=True)
