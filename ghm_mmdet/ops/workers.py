"""Runs independent pieces of work on all of PyTorch's CPU threads, each piece on one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TypeVar

import torch

Piece = TypeVar('Piece')
Result = TypeVar('Result')

LIMIT = 8  # beyond it the threads wait for Python's lock more than they compute
_number_of_threads = Lock()


def count() -> int:
    """Threads that :func:`run` uses: those that the user allows PyTorch, up to ``LIMIT``."""
    return min(torch.get_num_threads(), LIMIT)


def run(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
    """Results of the pieces in their order, whichever thread had them.

    Args:
        work: Is called without the caller's thread-local state, such as autograd's and autocast's:
            hand it detached tensors.
        pieces: One call each.
    """
    pieces = list(pieces)
    threads = count()
    if threads == 1 or len(pieces) == 1:
        return [work(piece) for piece in pieces]
    with _one_thread_an_operation():
        return list(_pool(os.getpid(), threads).map(work, pieces))


@contextmanager
def _one_thread_an_operation() -> Iterator[None]:
    """Keeps PyTorch from giving each piece a team of threads, which would all wait for each other.

    The number of threads belongs to the process, so that one caller at a time may change it.
    """
    with _number_of_threads:
        allowed = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(allowed)


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Kept from call to call; a forked process, where no thread lives on, makes its own."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f'ghm_mmdet-{process}')
