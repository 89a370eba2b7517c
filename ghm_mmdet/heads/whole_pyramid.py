"""One density for all levels, for any head that calls its losses once per level."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache

from mmdet.registry import MODELS
from torch import Tensor, nn

from ghm_mmdet.config_types import config_class
from ghm_mmdet.losses.ghm_loss import GHMLoss
from ghm_mmdet.losses.partial_loss import PartialLoss


class WholePyramidDensity:
    """Mixin before a dense head: harmonized losses have one density over all levels.

    While the head computes its losses, each level's call returns a share that the head passes
    through. The loss is computed once the shares of all levels are there. Nothing is concatenated.

    Attributes:
        ignore_avg_factor: Whether the factors that the head multiplies its levels' losses by
            have no effect.

    Raises:
        TypeError: On subclassing, if the head stands before the mixin.
    """

    ignore_avg_factor = False

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__mro__[: cls.__mro__.index(WholePyramidDensity)]:
            if 'loss_by_feat' in vars(base) and not issubclass(base, WholePyramidDensity):
                raise TypeError(
                    f'{cls.__name__}: its base {base.__name__} must stand after '
                    'WholePyramidDensity, or each level has a density of its own'
                )

    def loss_by_feat(self, *args: object, **kwargs: object) -> dict[str, Tensor | list[Tensor]]:
        """The head's losses; a :class:`GHMLoss` gives one number for the pyramid."""
        with ExitStack() as stack:
            for module in self.modules():
                if isinstance(module, GHMLoss):
                    stack.enter_context(module.split_levels(self.ignore_avg_factor))
            losses = super().loss_by_feat(*args, **kwargs)
        return {name: _merge_levels(value) for name, value in losses.items()}


class PickledByHead:
    """Mixin for a head class made at run time, which pickle cannot find by its name.

    Attributes:
        head_class: The head class that it is made from.
    """

    head_class: type[nn.Module]

    def __reduce_ex__(self, protocol: int | str) -> tuple:
        """Pickle the head as ``head_class`` and its state."""
        _, _, *state = super().__reduce_ex__(protocol)
        return _without_state, (self.head_class,), *state


@lru_cache(maxsize=None)
def whole_pyramid_class(head_class: type[nn.Module]) -> type[nn.Module]:
    """The subclass of a dense head with one density over all levels; cached by head."""
    attributes = dict(
        __module__=__name__,
        __doc__=f'``{head_class.__name__}`` with one density over all levels.',
        head_class=head_class,
    )
    bases = (PickledByHead, WholePyramidDensity, head_class)
    return type(f'WholePyramid{head_class.__name__}', bases, attributes)


def _without_state(head_class: type[nn.Module]) -> nn.Module:
    made = whole_pyramid_class(head_class)
    return made.__new__(made)


@MODELS.register_module()
def WholePyramidHead(
    head: str | type[nn.Module], ignore_avg_factor: bool = False, **kwargs: object
) -> nn.Module:
    """A dense head whose GHM-C and GHM-R have one density over all levels.

    mmdet calls the loss once per level, so a loss alone has a density per level and a moving
    average that the levels update in turn. The paper's density is over the whole mini-batch.

    Args:
        head: Type of a head that computes its losses per level, such as ``'ATSSHead'``, as a
            config's ``type``: its name, with or without a scope, or the class.
        ignore_avg_factor: GHM ignores the ``avg_factor`` that a head hands over, because it is a
            mean already. Some heads, such as TOOD's and RTMDet's, divide by it after the loss
            has returned; True leaves this division out for GHM losses.
        **kwargs: The head's own arguments. Its weights keep their names.

    Returns:
        An instance of a subclass of the head.

    Raises:
        ValueError: There is no such head, or it has one density over all levels by itself.
    """
    cls = config_class(head, MODELS)
    if cls is None or not hasattr(cls, 'loss_by_feat'):
        raise ValueError(f'head={head!r}: must be a registered dense head')
    if issubclass(cls, WholePyramidDensity):
        raise ValueError(f'head={head!r}: has one density by itself, must be another head')
    made = whole_pyramid_class(cls)(**kwargs)
    made.ignore_avg_factor = ignore_avg_factor
    return made


def _merge_levels(loss: object) -> object:
    """One number for the shares of a loss; an output without shares is returned unchanged.

    A head that calls the loss once returns one share, others return a list or tuple. In it, levels
    without positives may have a tensor, a zero that keeps their predictions in the graph.
    """
    levels = [loss] if isinstance(loss, PartialLoss) else loss
    if not isinstance(levels, (list, tuple)):
        return loss
    shares = [level for level in levels if isinstance(level, PartialLoss)]
    if not shares:
        return loss
    tensors = [level for level in levels if not isinstance(level, PartialLoss)]
    # a head may have a loss for each level, with a density of its own
    losses = {id(share.loss): share.loss for share in shares}.values()
    merged = [loss.merge([each for each in shares if each.loss is loss]) for loss in losses]
    return sum([*tensors, *merged[1:]], start=merged[0])
