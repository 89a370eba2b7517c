"""The definition of a table: rows that differ in one setting, each with its config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """Published numbers of a row; None if there is no published number.

    Attributes:
        ap: Box AP in percent.
        ap50: At an IoU of 0.5.
        ap75: At 0.75.
        seconds: Per training iteration.
    """

    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: On the command line and in folders.
        label: In the table.
        config: Path relative to ``configs/``.
        published: Numbers to compare with.
        changes: Settings in which it differs from the config, by dotted key.
        detector: On a small data set, whether the config's whole detector replaces the
            set's RetinaNet, and not its losses alone.
    """

    name: str
    label: str
    config: str
    published: Published = Published()
    changes: Mapping[str, object] = field(default_factory=dict)
    detector: bool = False


@dataclass(frozen=True)
class Table:
    """Rows that differ in one thing.

    Attributes:
        title: Of the comparison.
        rows: In the order in which they are shown; the others are compared with the first.
        source: Of the published numbers; None if there are none.
        published_on: Data of the published numbers.
        coco_only: Reason why a small data set cannot have the rows by changing losses, if so.
        paired: Whether each row's difference to the first is shown, over the seeds of both.
    """

    title: str
    rows: tuple[Row, ...]
    source: str | None = None
    published_on: str = 'COCO minival'
    coco_only: str | None = None
    paired: bool = False
