"""Checks of arguments; errors are one line with the argument, its value and the allowed values."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        options = ', '.join(map(repr, allowed))
        raise ValueError(f'{name}={value!r}: must be one of {options}')


def check_positive_integer(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f'{name}={value!r}: must be an integer of at least 1')


def check_interval(name: str, value: object, interval: str, also: str = '') -> None:
    """Raise ValueError unless ``value`` is a real number in ``interval``.

    Args:
        name: Of the argument.
        value: Its value.
        interval: As in mathematics, with commas: '[0, 1)', '(0, inf)'.
        also: Further allowed values, for the message.
    """
    low, high = (float(bound) for bound in interval[1:-1].split(','))
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond all floats is in no interval
            number = float('nan')
        above = number >= low if interval[0] == '[' else number > low
        below = number <= high if interval[-1] == ']' else number < high
        if above and below:
            return
    raise ValueError(f'{name}={value!r}: must be a number in {interval}{also}')
