"""The memory layout of a call's tensors, and the tiles in which the Triton kernels read them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ghm_mmdet.method.criteria import LabelTarget, Target
from ghm_mmdet.ops.examples import Examples

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# Threads of a program: Triton's default of 4 warps.
THREADS = 128
LARGEST_F = 128


class Layout(NamedTuple):
    """A call's tensors over (major, minor); minor is the axis of the smaller stride.

    Attributes:
        prediction, target, weight: A tensor with its strides, as the kernels take them.
        size: Examples along major and minor.
        options: Compile-time arguments that say what the tuples hold.
    """

    prediction: tuple
    target: tuple
    weight: tuple
    size: tuple[int, int]
    options: dict[str, Any]

    def strides(self, tensor: Tensor) -> tuple[int, int]:
        """Major and minor stride of another tensor of the prediction's shape."""
        strides = _matrix_strides(tensor)
        assert strides is not None, 'not a matrix'
        return _order(strides, self.options['ANCHORS_MINOR'])


class Block(NamedTuple):
    """R x F places in a tile, V x W of them in a thread, see :mod:`triton_kernels`."""

    r: int
    f: int
    v: int
    w: int


def layout(examples: Examples) -> Layout | None:
    """The layout of a call for the kernels, or None if they cannot read it."""
    prediction, target, weight, _ = examples
    strides = _matrix_strides(prediction)
    if prediction.dtype not in DTYPES or prediction.numel() == 0 or strides is None:
        return None
    classes = prediction.size(-1) if prediction.dim() > 1 else 1
    anchors = prediction.numel() // classes
    minor = classes == 1 or (anchors > 1 and strides[0] < strides[1])
    of_target, of_weight = _target(prediction, target, minor), _weight(prediction, weight, minor)
    if of_target is None or of_weight is None:
        return None
    (target_kind, target_tuple), (weight_kind, weight_tuple) = of_target, of_weight
    return Layout(
        prediction=(prediction, *_order(strides, minor)),
        target=target_tuple,
        weight=weight_tuple,
        size=_order((anchors, classes), minor),
        options={'TARGET': target_kind, 'WEIGHT': weight_kind, 'ANCHORS_MINOR': minor},
    )


def block(layout: Layout, per_thread: int) -> Block:
    """The tile in which a thread sees ``per_thread`` examples, or fewer where there are few.

    F is the power of two that pads the minor axis least, where every tile in a row counts as one
    place more: 16 for 80 classes, 4 for the coordinates of a box.
    """
    return _block(*layout.size, 16 // layout.prediction[0].element_size(), per_thread)


@lru_cache(maxsize=4096)
def _block(major: int, minor: int, width: int, per_thread: int) -> Block:
    """The tile for loads of ``width`` numbers; a head has the same sizes again and again."""
    choices = (1 << k for k in range(LARGEST_F.bit_length()))
    f = min(choices, key=lambda f: (-(-minor // f) * (f + 1), -f))
    w = min(width, f)
    s = THREADS * w // f
    if s > _power_of_two(major):
        s, w = _power_of_two(major), width
        f = THREADS * w // s
    v = min(max(per_thread // w, 1), _power_of_two(-(-major // s)))
    return Block(v * s, f, v, w)


def tiles(layout: Layout, block: Block) -> int:
    """Number of tiles that cover the examples."""
    major, minor = layout.size
    return -(-major // block.r) * -(-minor // block.f)


def weights_shape(layout: Layout, block: Block) -> tuple[int, int]:
    """Shape of a tile's weights: one per example, or one per anchor."""
    if layout.options['WEIGHT'] == 'example':
        return block.r, block.f
    return (1, block.f) if layout.options['ANCHORS_MINOR'] else (block.r, 1)


def _target(prediction: Tensor, target: Target, minor: bool) -> tuple[str, tuple] | None:
    if isinstance(target, LabelTarget):
        if prediction.dim() != 2:
            return None
        labels, score = target
        if score is None:
            return 'label', (labels, labels.stride(0))
        return 'score', (labels, labels.stride(0), score, score.stride(0))
    strides = _matrix_strides(target.values)
    if target.values.shape != prediction.shape or strides is None:
        return None
    return 'dense', (_loadable(target.values), *_order(strides, minor))


def _weight(prediction: Tensor, weight: Tensor | None, minor: bool) -> tuple[str, tuple] | None:
    if weight is None:
        return 'none', ()
    strides = _matrix_strides(weight.expand_as(prediction))
    if strides is None or weight.dtype == torch.float64:
        return None
    if strides[1] == 0:
        return 'anchor', (_loadable(weight), strides[0])
    return 'example', (_loadable(weight), *_order(strides, minor))


def _matrix_strides(tensor: Tensor) -> tuple[int, int] | None:
    """Strides of the (N, C) view of (..., C), or of (N, 1) of (N,); None if it takes a copy."""
    if tensor.dim() == 1:
        return tensor.stride(0), 0
    try:
        rows, columns = tensor.view(-1, tensor.size(-1)).stride()
    except (IndexError, RuntimeError):
        return None
    # the stride of a single column says nothing, and would hide that rows are aligned
    return rows, columns if tensor.size(-1) > 1 else 0


def _order(pair: tuple[int, int], minor: bool) -> tuple[int, int]:
    """An (anchors, classes) pair as (major, minor)."""
    return (pair[1], pair[0]) if minor else (pair[0], pair[1])


def _loadable(tensor: Tensor) -> Tensor:
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def _power_of_two(number: int) -> int:
    """The smallest that is not below ``number``."""
    return 1 << (number - 1).bit_length()
