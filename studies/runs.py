"""Reads training runs from their work dirs, and joins the logs of all starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from studies.run_log import RunError, RunLog, TrainLine, Validation, read_log

SCALARS = 'vis_data/scalars.json'


@dataclass(frozen=True)
class Run:
    """One training, from its first iteration to its last.

    Attributes:
        work_dir: Its folder.
        train: The logged lines of training, by increasing iteration; at least one.
        validations: By increasing iteration.
        losses: Types of the losses in the config, each once; empty if no config can be read.
        classification: Type of the classification loss of the detector's head, if there is one.
        left_out: Logs of earlier trainings in the same folder, which this one does not continue.
    """

    work_dir: Path
    train: list[TrainLine]
    validations: list[Validation]
    losses: list[str]
    classification: str | None
    left_out: list[Path]


def read_run(work_dir: Path) -> Run:
    """Read a work dir of MMEngine, or the folder of one start in it.

    Args:
        work_dir: Folder with ``<time of the start>/vis_data/scalars.json``.

    Raises:
        RunError: There is no such folder or log, a log is broken, or nothing was logged yet.
    """
    if not work_dir.is_dir():
        raise RunError(f'{work_dir}: no such folder')
    paths = sorted(work_dir.glob(f'*/{SCALARS}')) or list(work_dir.glob(SCALARS))
    if not paths:
        raise RunError(f'{work_dir}: no <time>/{SCALARS}, which MMEngine writes when it trains')
    logs = [log for log in map(read_log, paths) if log.train]
    if not logs:
        raise RunError(f'{paths[-1]}: no training loss was logged yet')
    start = max((i for i, log in enumerate(logs) if not _continues(log)), default=0)
    train, validations = _join(logs[start:])
    # classification first, as papers name them
    losses = sorted(_losses(_config(logs[-1]).get('model')), key=lambda loss: loss[0] != 'loss_cls')
    return Run(
        work_dir,
        train,
        validations,
        losses=list(dict.fromkeys(kind for _, kind in losses)),
        classification=next((kind for name, kind in losses if name == 'loss_cls'), None),
        left_out=[log.path for log in logs[:start]],
    )


def _continues(log: RunLog) -> bool:
    """Whether a start resumes, by its config."""
    return bool(_config(log).get('resume', True))


def _join(logs: list[RunLog]) -> tuple[list[TrainLine], list[Validation]]:
    """Join the logs of starts that continue each other; a later log replaces an earlier one.

    Lines of an earlier start from the later one's first line on are dropped: they were repeated.
    """
    train: list[TrainLine] = []
    validations: list[Validation] = []
    for log in logs:
        first = log.train[0].iteration
        train = [line for line in train if line.iteration < first] + log.train
        validations = [done for done in validations if done.iteration < first] + log.validations
    return train, validations


def _config(log: RunLog) -> Config:
    """The config that MMEngine wrote beside a log; empty if it cannot be read."""
    # A config is a program, and its run's environment may be gone: the curves do not need it.
    try:
        return Config.fromfile(log.path.with_name('config.py'), import_custom_modules=False)
    except Exception:
        return Config()


def _losses(config: object) -> Iterator[tuple[str, str]]:
    """Name and type of every loss in a model's config, without the registry's scope.

    In the order of the names, so that ``roi_head`` is before ``rpn_head``.
    """
    if isinstance(config, list):
        for item in config:
            yield from _losses(item)
    if not isinstance(config, dict):
        return
    for name, value in sorted(config.items()):
        if name.startswith('loss_') and isinstance(value, dict) and 'type' in value:
            yield name, str(value['type']).rsplit('.', 1)[-1]
        else:
            yield from _losses(value)
