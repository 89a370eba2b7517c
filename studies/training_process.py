"""Runs a program in a session of its own, with its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

GRACE = 40.0
"""Seconds to end in: torchrun gives its ranks 30."""
INTERVAL = 0.5
"""Seconds between looks at the program."""


def run_to_file(
    command: Sequence[str],
    output: Path,
    environment: Mapping[str, str],
    on_wait: Callable[[], None],
    inherited: Sequence[int] = (),
) -> int:
    """Run a command and return its exit status; with any exception its whole session is ended.

    Args:
        command: Program and arguments.
        output: Its stdout and stderr are appended to this file.
        environment: Its environment variables.
        on_wait: Called about twice a second.
        inherited: File descriptors that it gets, and keeps open as long as it runs.
    """
    with output.open('ab') as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            pass_fds=inherited,
        )
    try:
        while True:
            try:
                return process.wait(INTERVAL)
            except subprocess.TimeoutExpired:
                on_wait()
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen) -> None:
    """End a session politely, and after a while, or when interrupted again, by force."""
    try:
        _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while _is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _is_alive(process: subprocess.Popen) -> bool:
    """Whether any process of the session's group is left, once its leader is reaped."""
    process.poll()
    return _signal(process.pid, 0)


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let a closed terminal and a scheduler's SIGTERM raise KeyboardInterrupt too.

    A process that ignores a hangup, as under nohup, goes on ignoring it.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    changed = {number: old for number, old in before.items() if old is signal.SIG_DFL}
    for number in changed:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, old in changed.items():
            signal.signal(number, old)
