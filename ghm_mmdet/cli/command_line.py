"""Options and error messages that the tools share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pickle import UnpicklingError

from mmengine.config import DictAction

from ghm_mmdet.cli.checkpoint import DANGER, TRUST
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.cli.launch import LAUNCHERS
from ghm_mmdet.datasets.findings import DataError
from ghm_mmdet.datasets.image_files import is_undecodable
from ghm_mmdet.hooks.harmonized_loss_hook import NonfiniteTraining

EXPECTED = (
    *(ConfigError, DataError, NonfiniteTraining, OSError, UnpicklingError),
    AssertionError,  # only that of a picture that cannot be decoded
)


class ConfigOptions(DictAction):
    """``KEY=VALUE ...`` as a dict; anything else is a usage error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[str],
        option_string: str | None = None,
    ) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (AssertionError, ValueError) as error:
            raise argparse.ArgumentError(self, f'must be KEY=VALUE, got {values}') from error


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the config and its overriding options."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, such as model.bbox_head.loss_cls.bins=20; '
        'a list is written "[a,b]" without spaces',
    )
    add_debug(parser)


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the flag that :func:`one_line_errors` is called with."""
    parser.add_argument(
        '--debug', action='store_true', help='show the traceback behind an error message'
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the options for the work dir and the launcher."""
    parser.add_argument(
        '--work-dir', help='folder for logs and results; default: work_dirs/<name of the config>'
    )
    parser.add_argument(
        '--launcher', choices=list(LAUNCHERS), default='none', help='what starts the ranks'
    )
    parser.add_argument(
        '--local-rank',
        '--local_rank',
        type=int,
        default=0,
        help='rank on this node, for launchers that pass it as an argument',
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the flag that allows code in a checkpoint."""
    parser.add_argument(
        TRUST,
        action='store_true',
        help='load checkpoints with all of pickle, which can run code; without it they are read '
        'as data alone',
    )


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """End the program with one line on stderr and status 1 if its input is wrong."""
    try:
        yield
    except EXPECTED as error:
        if debug or (isinstance(error, AssertionError) and not is_undecodable(error)):
            raise
        raise SystemExit(f'error: {_one_line(error)}') from error


def _one_line(error: BaseException) -> str:
    """The message of an error; for a data loader's worker only the line after its traceback."""
    if isinstance(error, UnpicklingError):
        # a checkpoint from the network was not checked before; torch's message is a page long
        return f'a checkpoint holds more than weights, and {DANGER}'
    text = str(error)
    if 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].partition(': ')[2]
    return ' '.join(text.split())
