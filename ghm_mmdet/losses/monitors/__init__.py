"""Counts on the device that the host reads only now and then."""

from ghm_mmdet.losses.monitors.labels import LabelCheck
from ghm_mmdet.losses.monitors.nonfinite import NonfiniteFlags
from ghm_mmdet.losses.monitors.outliers import OutlierWatch

__all__ = ['LabelCheck', 'NonfiniteFlags', 'OutlierWatch']
