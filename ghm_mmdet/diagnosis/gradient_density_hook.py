"""Logs the gradient density of the harmonized losses during a training."""

from __future__ import annotations

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ghm_mmdet.diagnosis.density_probe import DensityProbe
from ghm_mmdet.diagnosis.style import rendered

TAG = 'gradient_density'
"""First part of the names that the hook logs."""


@HOOKS.register_module()
class GradientDensityHook(Hook):
    """Logs the gradient density of GHM-C and GHM-R to the back ends of the run's visualizer.

    For every harmonized loss, under ``gradient_density/<loss>/``, these are numbers of all regions,
    numbers of each one, and a figure; docs/diagnostics.md lists them.

    In every ``interval``-th iteration it makes one more pass over the examples, and draws the
    figure. In the others it does nothing. With several ranks it shows the examples of the main one.
    If torch.compile has compiled the model before, the model does not call it, and nothing is
    logged, unless ``torch._dynamo.config.skip_nnmodule_hook_guards`` is False.

    Args:
        interval: Iterations between two looks; the first look is at iteration ``interval``, so a
            shorter run has none.
        figure_interval: Looks between two figures; 0 draws none.

    Raises:
        ValueError: An interval is out of range.

    Examples:
        >>> custom_hooks = [dict(type='GradientDensityHook', interval=500)]
    """

    priority = 'LOW'

    def __init__(self, interval: int = 500, figure_interval: int = 1) -> None:
        arguments = ('interval', interval, 1), ('figure_interval', figure_interval, 0)
        for name, value, least in arguments:
            if not isinstance(value, int) or value < least:
                raise ValueError(f'{name}={value!r}: must be an integer, {least} or more')
        self.interval = interval
        self.figure_interval = figure_interval
        self._looks = 0
        self._probe: DensityProbe | None = None

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Start to watch, if the interval says so."""
        if self.every_n_train_iters(runner, self.interval) and is_main_process():
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            self._probe = DensityProbe(model)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Log the numbers and the figure of this iteration."""
        if self._probe is None:
            return
        probe, self._probe = self._probe, None
        probe.close()
        draws = self.figure_interval and self._looks % self.figure_interval == 0
        self._looks += 1
        step = runner.iter + 1
        for seen in probe.result():
            tag = f'{TAG}/{seen.name}'
            values = {f'{tag}/{name}': value for name, value in seen.scalars().items()}
            runner.visualizer.add_scalars(values, step=step)
            if draws:
                pixels = rendered(seen.figure(step))
                runner.visualizer.add_image(tag.replace('/', '_'), pixels, step)
