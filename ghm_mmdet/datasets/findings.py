"""Errors and warnings that a check of data collects."""

from __future__ import annotations

LISTED = 5  # names in a message


class DataError(ValueError):
    """Data that cannot be trained on or evaluated; the message is one line and names the file."""


class Findings:
    """Errors and warnings in the order in which they were found, each one line, each once.

    Attributes:
        errors: Faults that stop a training or a test.
        warnings: Surprises that do not stop it.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def error(self, text: str) -> None:
        """Add an error, unless it is there already."""
        _add(self.errors, text)

    def warn(self, text: str) -> None:
        """Add a warning, unless it is there already."""
        _add(self.warnings, text)

    def raise_error(self) -> None:
        """Raise the first error, if there is one.

        Raises:
            DataError: There is one; the message says how many others there are.
        """
        if not self.errors:
            return
        first, *others = self.errors
        more = f' (and {len(others)} more; tools/check_data.py lists them)' if others else ''
        raise DataError(f'{first}{more}')


def _add(lines: list[str], text: str) -> None:
    if text not in lines:
        lines.append(text)


def listing(names: list | tuple) -> str:
    """The first names, and the number of the others."""
    rest = f' and {len(names) - LISTED} more' if len(names) > LISTED else ''
    return f'{list(names[:LISTED])}{rest}'
