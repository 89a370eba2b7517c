"""Modules whose buffers keep their dtype when the model around them is cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class FixedDtype(nn.Module):
    """A module whose buffers move to other devices and keep their dtype.

    ``model.half()`` casts every floating-point buffer. Counts of examples would overflow, and
    region edges would move. An assignment to a buffer's ``data``, as by FSDP with a
    ``buffer_dtype``, is not prevented; the losses undo it in their next call.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> nn.Module:
        # torch 2.0 has no further argument, later versions have `recurse`
        return super()._apply(lambda tensor: _of_same_dtype(fn, tensor), *args, **kwargs)


def _of_same_dtype(fn: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    result = fn(tensor)
    # move the original tensor: casting the result back would not undo an overflow
    return result if result.dtype == tensor.dtype else tensor.to(result.device)
