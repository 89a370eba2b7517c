"""Mixed precision in bfloat16, which a CPU has too; MMEngine's own wrapper needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Trains under autocast; weights and optimizer stay in float32, and no loss is scaled."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass.

        Args:
            model: That is trained.
        """
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
