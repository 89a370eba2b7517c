"""Registers the losses as ``GHMC`` and ``GHMR``, in place of MMDetection's own.

With ``custom_imports = dict(imports=['ghm_mmdet.drop_in'])`` every config with these names has the
losses of this package, without an edit. This also works in heads that compare the name of the loss,
such as MMDetection3D's. Arguments, defaults and values are those of mmdet 3.3.0, whose checkpoints
can be loaded. In checkpoints of these losses the moving average has another name, which mmdet's own
losses ignore.
"""

from __future__ import annotations

from typing import Any

from mmdet.registry import MODELS

from ghm_mmdet.losses import GHMCLoss, GHMRLoss


@MODELS.register_module(force=True)
class GHMC(GHMCLoss):
    """:class:`GHMCLoss` with the order of arguments and the defaults of mmdet's ``GHMC``.

    Args:
        bins: See :class:`GHMCLoss`.
        momentum: In [0, 1).
        use_sigmoid: May be False, which mmdet's own ``GHMC`` refuses.
        loss_weight: Factor of the loss.
        reduction: 'none', 'mean' or 'sum'.
        **kwargs: The other arguments of :class:`GHMCLoss`.
    """

    def __init__(
        self,
        bins: int = 10,
        momentum: float = 0,
        use_sigmoid: bool = True,
        loss_weight: float = 1.0,
        reduction: str = 'mean',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            use_sigmoid=use_sigmoid,
            bins=bins,
            momentum=momentum,
            loss_weight=loss_weight,
            reduction=reduction,
            **kwargs,
        )


@MODELS.register_module(force=True)
class GHMR(GHMRLoss):
    """:class:`GHMRLoss`, whose arguments begin with those of mmdet's ``GHMR``."""
