"""One density for all levels, for any head that calls its losses once per level."""

from __future__ import annotations

from contextlib import ExitStack

from mmdet.registry import MODELS
from torch import Tensor, nn

from ghm_mmdet.losses.ghm_loss import GHMLoss, PartialLoss


class WholePyramidDensity:
    """Mixin before a dense head: harmonized losses see the examples of all levels at once.

    While the head computes its losses, each level's call returns its region sums, a few numbers per
    region that the head passes through; beta is applied to their total. Nothing is concatenated.
    """

    def loss_by_feat(self, *args, **kwargs) -> dict[str, Tensor | list[Tensor]]:
        """The head's losses; those of a :class:`GHMLoss` become one number for the pyramid."""
        with ExitStack() as stack:
            for module in self.children():
                if isinstance(module, GHMLoss):
                    stack.enter_context(module.split_levels())
            losses = super().loss_by_feat(*args, **kwargs)
        return {name: _merge_levels(value) for name, value in losses.items()}


@MODELS.register_module()
def WholePyramidHead(head: str, **kwargs) -> nn.Module:
    """A dense head whose GHM-C and GHM-R have one density over all levels.

    mmdet calls the loss once per level, so a loss alone has a density per level and a moving
    average that the levels overwrite in turn. The paper's density is over the whole mini-batch.

    Args:
        head: Type of a registered head that computes its losses per level, such as ``'ATSSHead'``.
        **kwargs: The head's own arguments. Its weights keep their names.

    Returns:
        An instance of a subclass of the head.

    Raises:
        ValueError: There is no such head.
    """
    cls = MODELS.get(head)
    if cls is None or not hasattr(cls, 'loss_by_feat'):
        raise ValueError(f'head={head!r}: must be a registered dense head')
    return type(f'WholePyramid{cls.__name__}', (WholePyramidDensity, cls), {})(**kwargs)


def _merge_levels(levels: object) -> object:
    """The loss of all levels, where a head left partial ones."""
    if not (isinstance(levels, list) and levels and isinstance(levels[0], PartialLoss)):
        return levels
    return levels[0].loss.merge(levels)
