"""The levels as the Triton kernels take them, and the tiles in which they read them.

Everything that depends only on shapes, strides and dtypes is computed once and kept. A call looks
it up and adds the addresses, so that the host can keep the device fed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from ghm_mmdet.ops.examples import Examples

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# Threads of a program: Triton's default of 4 warps.
THREADS = 128
LARGEST_F = 128
LOAD_BYTES = 16
# Triton compiles a kernel again if an integer's divisibility by 16 changes: 16 divides all here.
ALWAYS_DIVISIBLE = 16
# Shapes that are remembered; a head has the same ones again and again.
REMEMBERED = 4096


class Array(NamedTuple):
    """A tensor for the kernels: a matrix of N anchors and C classes, or a line of N numbers.

    Attributes:
        major: Stride of a matrix along major, the axis of the prediction's larger stride.
        minor: Stride along the other axis, minor, or of a line.
        aligned: Whether it is a matrix whose rows begin at 16 bytes, as vector loads need.
        dtype: Of the numbers.
    """

    major: int
    minor: int
    aligned: bool
    dtype: torch.dtype


ABSENT = Array(0, 0, False, torch.uint8)


class Form(NamedTuple):
    """The properties that all levels of one launch share.

    Attributes:
        dtypes: Of prediction, target, score, weight and gradient.
        strides: Of the same, those along minor and of lines.
        aligned: See :class:`Array`; of the same.
        classes: C.
        target: 'label', 'score' or 'dense'.
        weight: 'none', 'anchor' or 'example'.
        anchors_minor: Whether anchors run along minor, classes along major.
    """

    dtypes: tuple[torch.dtype, ...]
    strides: tuple[int, ...]
    aligned: tuple[bool, ...]
    classes: int
    target: str
    weight: str
    anchors_minor: bool

    def size(self, anchors: int) -> tuple[int, int]:
        """Examples along major and minor."""
        return (self.classes, anchors) if self.anchors_minor else (anchors, self.classes)


@dataclass(frozen=True, eq=False)
class Level:
    """One level for the kernels, without its addresses.

    Attributes:
        form: See :class:`Form`.
        anchors: N.
        strides: Along major: of prediction, target, weight and gradient.
    """

    form: Form
    anchors: int
    strides: tuple[int, int, int, int]


class Block(NamedTuple):
    """R x F places in a tile, V x W of them in a thread, see :mod:`triton_kernels`."""

    r: int
    f: int
    v: int
    w: int


@dataclass(frozen=True, eq=False)
class Launch:
    """One launch over levels of one form.

    Attributes:
        form: Of all levels.
        numbers: The positions of its levels in the call.
        rows: The entries of the kernels' table for each level, between addresses and factor.
        tile: The same for all levels.
        tiles_each: Number of tiles that a program reads.
        programs: Number of all programs.
        constants: LEVELS, DTYPES, ALIGNED, TARGET, WEIGHT, ANCHORS_MINOR and BLOCK of the kernels.
        binaries: Kernels that were compiled for it, see :func:`ghm_mmdet.ops.triton_launch.run`.
    """

    form: Form
    numbers: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    tile: Block
    tiles_each: int
    programs: int
    constants: tuple
    binaries: dict[Any, Any] = field(default_factory=dict)

    def table(
        self, addresses: Sequence[Sequence[int]], factors: Sequence[float]
    ) -> tuple[tuple[int | float, ...], ...]:
        """The kernels' table, see ``row_of`` there.

        Args:
            addresses: Of all levels, see :func:`addresses`.
            factors: Of the examples' losses of all levels.
        """
        return tuple(
            (*addresses[number], *row, factors[number])
            for number, row in zip(self.numbers, self.rows)
        )

    @property
    def weights_shape(self) -> tuple[int, int]:
        """Shape of a tile's weights: one per example, or one per anchor."""
        if self.form.weight == 'example':
            return self.tile.r, self.tile.f
        return (1, self.tile.f) if self.form.anchors_minor else (self.tile.r, 1)


def divisible(numbers: Sequence[int]) -> tuple[int, ...]:
    """The numbers as the kernels take them, which divide them again."""
    return tuple([ALWAYS_DIVISIBLE * number for number in numbers])


def level(examples: Examples) -> Level | None:
    """The level for the kernels, or None if they cannot read it."""
    return _level(*[each if each is None else _seen(each) for each in examples.tensors])


def pointers(*tensors: Tensor | None) -> tuple[int, ...]:
    """Addresses as the kernels take them, see ``pointer`` there; 0 where there is no tensor."""
    return divisible([0 if each is None else each.data_ptr() for each in tensors])


def addresses(examples: Examples, gradient: Tensor | None = None) -> tuple[int, ...]:
    """:func:`pointers` of prediction, target, score, weight and gradient."""
    prediction, labels, score, values, weight = examples.tensors
    return pointers(prediction, labels if values is None else values, score, weight, gradient)


@lru_cache(maxsize=REMEMBERED)
def launches(
    levels: tuple[Level, ...],
    per_thread: int,
    programs: int = 0,
    most_each: int = 1,
) -> list[Launch]:
    """The launches for all levels: one, if they have one form.

    Args:
        levels: At least one.
        per_thread: Examples of a tile that a thread sees, at most.
        programs: Wanted number of programs; there are more if a program would read more than
            ``most_each`` tiles. 0 gives one program per tile.
        most_each: Tiles that a program reads, at most.
    """
    groups: dict[Form, list[int]] = {}
    for number, each in enumerate(levels):
        groups.setdefault(each.form, []).append(number)
    result = []
    for form, numbers in groups.items():
        tile = block(form, max(levels[number].anchors for number in numbers), per_thread)
        needed = [_tiles(form.size(levels[number].anchors), tile) for number in numbers]
        tiles_each = min(-(-sum(needed) // programs), most_each) if programs else 1
        rows, first = [], 0
        for number, tiles in zip(numbers, needed):
            each = levels[number]
            rows.append(divisible((*each.strides, each.anchors, number, first)))
            first += -(-tiles // tiles_each)
        constants = _constants(form, len(rows), tile)
        result.append(Launch(form, tuple(numbers), tuple(rows), tile, tiles_each, first, constants))
    return result


def _constants(form: Form, levels: int, tile: Block) -> tuple:
    dtypes = tuple(getattr(tl, _name(each)) for each in form.dtypes)
    return levels, dtypes, form.aligned, form.target, form.weight, form.anchors_minor, tile


def block(form: Form, anchors: int, per_thread: int) -> Block:
    """The tile in which a thread sees ``per_thread`` examples, or fewer if there are few.

    F is the power of two that pads the minor axis least, where every tile in a row counts as one
    place more: 16 for 80 classes, 4 for the coordinates of a box.

    Args:
        form: Of the levels.
        anchors: Of the largest level.
        per_thread: See above.
    """
    major, minor = form.size(anchors)
    width = LOAD_BYTES // form.dtypes[0].itemsize
    choices = (1 << k for k in range(LARGEST_F.bit_length()))
    f = min(choices, key=lambda f: (-(-minor // f) * (f + 1), -f))
    w = min(width, f)
    s = THREADS * w // f
    if s > _power_of_two(major):
        s, w = _power_of_two(major), width
        f = THREADS * w // s
    v = min(max(per_thread // w, 1), _power_of_two(-(-major // s)))
    return Block(v * s, f, v, w)


def _tiles(size: tuple[int, int], tile: Block) -> int:
    """Number of tiles that cover the examples."""
    major, minor = size
    return -(-major // tile.r) * -(-minor // tile.f)


class _Seen(NamedTuple):
    """The properties that decide how a tensor is read."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    is_aligned: bool

    def tensor(self) -> Tensor:
        """A tensor like it, without memory."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.loadable, device='meta')

    @property
    def loadable(self) -> torch.dtype:
        """The dtype for the kernels."""
        return torch.uint8 if self.dtype == torch.bool else self.dtype


def _seen(tensor: Tensor) -> _Seen:
    aligned = tensor.data_ptr() % LOAD_BYTES == 0
    return _Seen(tensor.shape, tensor.stride(), tensor.dtype, tensor.device, aligned)


@lru_cache(maxsize=REMEMBERED)
def _level(
    seen: _Seen,
    labels: _Seen | None,
    score: _Seen | None,
    values: _Seen | None,
    weight: _Seen | None,
) -> Level | None:
    others = [each for each in (labels, score, values, weight) if each is not None]
    # an address of another device would end the process
    if any(each.device != seen.device for each in others):
        return None
    prediction = seen.tensor()
    strides = _matrix_strides(prediction)
    if prediction.dtype not in DTYPES or prediction.numel() == 0 or strides is None:
        return None
    classes = prediction.size(-1) if prediction.dim() > 1 else 1
    anchors = prediction.numel() // classes
    minor = classes == 1 or (anchors > 1 and strides[0] < strides[1])
    of_target = _target(prediction, labels, score, values, minor)
    of_weight = _weight(prediction, weight, minor)
    matrix = _matrix(prediction, seen.is_aligned, minor)
    # a newly allocated tensor is always aligned
    gradient = _matrix(torch.empty_like(prediction), True, minor)
    if matrix is None or gradient is None or of_target is None or of_weight is None:
        return None
    (target_kind, target, scores), (weight_kind, weights) = of_target, of_weight
    arrays = matrix, target, scores, weights, gradient
    if not all(hasattr(tl, _name(each.dtype)) for each in arrays):
        return None
    form = Form(
        tuple(each.dtype for each in arrays),
        tuple(each.minor for each in arrays),
        tuple(each.aligned for each in arrays),
        *(classes, target_kind, weight_kind, minor),
    )
    return Level(form, anchors, (matrix.major, target.major, weights.major, gradient.major))


def _target(
    prediction: Tensor,
    labels: _Seen | None,
    score: _Seen | None,
    values: _Seen | None,
    minor: bool,
) -> tuple[str, Array, Array] | None:
    """The kind of a target, and its target and score."""
    if values is not None:
        matrix = _matrix(values.tensor(), values.is_aligned, minor)
        if values.shape != prediction.shape or matrix is None:
            return None
        return 'dense', matrix, ABSENT
    assert labels is not None, 'a target has labels or values'
    if prediction.dim() != 2:
        return None
    line = Array(0, labels.stride[0], False, labels.loadable)
    if score is None:
        return 'label', line, ABSENT
    return 'score', line, Array(0, score.stride[0], False, score.loadable)


def _weight(prediction: Tensor, seen: _Seen | None, minor: bool) -> tuple[str, Array] | None:
    """The kind of a weight, and the weight."""
    if seen is None:
        return 'none', ABSENT
    weight = seen.tensor().expand_as(prediction)
    strides = _matrix_strides(weight)
    if strides is None or weight.dtype == torch.float64:
        return None
    if strides[1] == 0:
        return 'anchor', Array(0, strides[0], False, weight.dtype)
    matrix = _matrix(weight, seen.is_aligned, minor)
    return None if matrix is None else ('example', matrix)


def _matrix(tensor: Tensor, is_aligned: bool, anchors_minor: bool) -> Array | None:
    """The (N, C) matrix of a tensor, or None if it would take a copy."""
    strides = _matrix_strides(tensor)
    if strides is None:
        return None
    major, minor = strides[::-1] if anchors_minor else strides
    rows = minor == 1 and major * tensor.element_size() % LOAD_BYTES == 0
    if anchors_minor:
        # a load must not continue past the end of a row
        anchors = tensor.numel() if tensor.dim() == 1 else tensor.shape[:-1].numel()
        rows = rows and anchors % LOAD_BYTES == 0
    return Array(major, minor, is_aligned and rows, tensor.dtype)


def _matrix_strides(tensor: Tensor) -> tuple[int, int] | None:
    """Strides of the (N, C) view of (..., C), or of (N, 1) of (N,); None if it takes a copy."""
    if tensor.dim() == 1:
        return tensor.stride(0), 0
    try:
        rows, columns = tensor.view(-1, tensor.size(-1)).stride()
    except (IndexError, RuntimeError):
        return None
    # the stride of a single column has no meaning, and would hide that rows are aligned
    return rows, columns if tensor.size(-1) > 1 else 0


def _name(dtype: torch.dtype) -> str:
    return str(dtype).split('.')[1]


def _power_of_two(number: int) -> int:
    """The smallest power of two that is not below ``number``."""
    return 1 << (number - 1).bit_length()
