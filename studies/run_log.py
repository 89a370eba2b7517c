"""The scalars that one start of a training wrote, as MMEngine's local backend keeps them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ghm_mmdet.datasets.findings import DataError


class RunError(DataError):
    """A work dir that cannot be compared; the message is one line and names it."""


@dataclass(frozen=True)
class TrainLine:
    """The logged values of an interval; a value that was not logged is None.

    Attributes:
        iteration: The interval's last.
        epoch: Counted from 1.
        loss: The total; may be non-finite.
        seconds: Per iteration.
        data_seconds: Of these, spent waiting for data.
        memory: Peak of the device, in MB.
        warm_up: Whether it is the first of a start.
    """

    iteration: int
    epoch: int | None
    loss: float
    seconds: float | None
    data_seconds: float | None
    memory: float | None
    warm_up: bool


@dataclass(frozen=True)
class Validation:
    """The metrics of a validation and its iteration.

    Attributes:
        iteration: The last before it, or the last logged one if the log does not have it.
        epoch: The epoch it belongs to, counted from 1.
        metrics: Values by name.
    """

    iteration: int
    epoch: int | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class RunLog:
    """One start of a training: its lines in order."""

    path: Path
    train: list[TrainLine]
    validations: list[Validation]


def read_log(path: Path) -> RunLog:
    """Read a ``scalars.json``.

    Lines of other hooks are skipped, and so is an incomplete last line, of a run that is still
    writing or was killed.

    Args:
        path: The file: one JSON object per line.

    Raises:
        RunError: A line is no such object, or a line of training has no numbers.
    """
    train: list[TrainLine] = []
    validated: list[tuple[dict, TrainLine | None]] = []
    lines = path.read_text('utf-8', errors='replace').split('\n')
    for number, text in enumerate(lines, 1):
        try:
            line = _parse(text)
            if 'iter' in line and 'loss' in line:
                train.append(_train_line(line, warm_up=not train))
            elif 'iter' not in line and 'time' in line:
                validated.append((line, train[-1] if train else None))
        except (ValueError, TypeError, OverflowError) as error:
            if number == len(lines):
                break
            raise RunError(f'{path}, line {number}: not a line of a log: {text[:60]!r}') from error
    length = _epoch_length(train)
    return RunLog(path, train, [_validation(line, last, length) for line, last in validated])


def _parse(text: str) -> dict[str, object]:
    line = json.loads(text)
    if not isinstance(line, dict):
        raise TypeError(line)
    # log_processor.log_with_hierarchy puts the mode before a name
    return {re.sub('^(train|val)/', '', key): line[key] for key in line}


def _train_line(line: dict, warm_up: bool) -> TrainLine:
    return TrainLine(
        iteration=int(line['iter']),
        epoch=int(line['epoch']) if 'epoch' in line else None,
        loss=float(line['loss']),
        seconds=_optional(line, 'time'),
        data_seconds=_optional(line, 'data_time'),
        memory=_optional(line, 'memory'),
        warm_up=warm_up,
    )


def _optional(line: dict, name: str) -> float | None:
    return float(line[name]) if name in line else None


def _epoch_length(train: list[TrainLine]) -> int | None:
    """Iterations per epoch, from the first line of the first and of the last epoch logged.

    None if there are not two epochs, or if they do not fit equal epochs from iteration 0 on.
    """
    first = {line.epoch: line.iteration for line in reversed(train) if line.epoch is not None}
    if len(first) < 2:
        return None
    low, high = min(first), max(first)
    length, rest = divmod(first[high] - first[low], high - low)
    fits = not rest and 0 < first[low] - (low - 1) * length <= length
    return length if fits else None


def _validation(line: dict, last: TrainLine | None, epoch_length: int | None) -> Validation:
    metrics = {
        name: float(value)
        for name, value in line.items()
        if name not in ('time', 'data_time', 'step') and isinstance(value, (int, float))
    }
    if last is None:
        return Validation(0, None, metrics)
    # the step is an epoch in one config, an iteration in another, 0 in a third
    at_end_of_epoch = epoch_length is not None and line.get('step') == last.epoch
    iteration = last.epoch * epoch_length if at_end_of_epoch else last.iteration
    return Validation(iteration, last.epoch, metrics)
