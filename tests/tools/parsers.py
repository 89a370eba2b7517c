"""The argparse parsers of the tools, as they are on the command line."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

import pytest


class Built(Exception):
    """Carries a parser out of the tool that has built it."""


def parser_of(tool: Path) -> argparse.ArgumentParser:
    """The parser with which a script reads its command line; nothing else of it runs."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise Built(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        try:
            runpy.run_path(str(tool), run_name='__main__')
        except Built as built:
            return built.args[0]
    raise AssertionError(f'{tool}: reads no command line')
