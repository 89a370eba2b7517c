"""Print a config with everything that it inherits."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ghm_mmdet.engine.command_line import add_config, one_line_errors
from ghm_mmdet.engine.config import load_config


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tools/print_config.py`` with the given arguments, by default the command line's."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    args = parser.parse_args(arguments)
    with one_line_errors(args.debug):
        cfg = load_config(args.config, args.cfg_options, imports=False)
    print(cfg.pretty_text, end='')
