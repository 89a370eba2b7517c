"""Split a COCO file into train, val and test, with each class in all of them.

Writes instances_train.json, instances_val.json and instances_test.json into a folder. The pictures
stay where they are; so does the file. Pictures that show the same, as the frames of a video, belong
into one part, or the evaluation is on what was trained with: name what they have in common with
--group.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from terminaltables import GithubFlavoredMarkdownTable

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.cli.new_file import write_new_json
from ghm_mmdet.datasets.coco_file import is_ignored, read_coco_file
from ghm_mmdet.datasets.stratify import PARTS, split_coco, with_countable_ids, with_portable_names

DEFAULT = (0.8, 0.1, 0.1)
MANY = 5  # names in a line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tools/split_coco.py`` with the given arguments, by default the command line's."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        shares, group = _shares(args.parts), _pattern(args.group)
        if args.seed < 0:
            raise ConfigError(f'--seed {args.seed}: must be 0 or more')
        file, renamed = with_portable_names(read_coco_file(args.source))
        file, numbered = with_countable_ids(file)
        parts = split_coco(file, shares, args.seed, group)
        paths = _write(Path(args.out), parts)
    print(_table(parts, file.categories))
    for line in (renamed, numbered, *_absent(parts, file.categories)):
        if line:
            print(f'note: {line}')
    for path in paths:
        print(path)


def _shares(parts: Sequence[float]) -> list[float]:
    given = ' '.join(f'{share:g}' for share in parts)
    shares = list(parts[:2]) if len(parts) == 3 and parts[2] == 0 else list(parts)
    valid = len(shares) in (2, 3) and all(share > 0 for share in shares)
    if not valid or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f'--parts {given}: must be the fractions of train and val, above 0, and that of test, '
            'which may be left out; their sum must be 1'
        )
    return shares


def _pattern(text: str | None) -> re.Pattern | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise ConfigError(f'--group {text!r}: not a regular expression: {error}') from error


def _write(folder: Path, parts: Mapping[str, dict]) -> list[Path]:
    """Write the parts, where none of the names is taken: not by an older split's part either."""
    for name in PARTS:
        path = folder / f'instances_{name}.json'
        if path.exists():
            raise ConfigError(f'{path}: exists already; remove it or name another folder')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f'{folder}: cannot be made: {error.strerror}') from error
    paths = [folder / f'instances_{name}.json' for name in parts]
    for path, content in zip(paths, parts.values(), strict=True):
        write_new_json(path, content)
    return paths


def _objects(content: Mapping) -> Counter:
    """Objects by category id."""
    return Counter(
        each['category_id'] for each in content.get('annotations', ()) if not is_ignored(each)
    )


def _table(parts: Mapping[str, dict], categories: Mapping[str, int | str]) -> str:
    objects = [_objects(content) for content in parts.values()]
    rows = [
        ['', *parts],
        ['images', *_with_shares([len(content['images']) for content in parts.values()])],
        ['objects', *_with_shares([sum(part.values()) for part in objects])],
    ]
    for name, number in categories.items():
        counts = [part[number] for part in objects]
        if any(counts):
            # a | in a name would be a column
            rows.append([name.replace('|', '/'), *_with_shares(counts)])
    table = GithubFlavoredMarkdownTable(rows)
    table.justify_columns = dict.fromkeys(range(1, len(parts) + 1), 'right')
    return table.table


def _with_shares(numbers: Sequence[int]) -> list[str]:
    return [f'{each} ({each / max(sum(numbers), 1):.1%})' for each in numbers]


def _absent(parts: Mapping[str, dict], categories: Mapping[str, int | str]) -> list[str]:
    """What a user has to know of categories that are not in every part."""
    objects = {name: _objects(content) for name, content in parts.items()}
    used = sum(objects.values(), Counter())
    lines = [
        _line('no part has', [name for name, number in categories.items() if not used[number]])
    ]
    for part, counts in objects.items():
        absent = [name for name, each in categories.items() if used[each] > counts[each] == 0]
        lines.append(_line(f'{part} does not have', absent))
    return lines


def _line(who: str, names: Sequence[str]) -> str:
    more = f' and {len(names) - MANY} more' if len(names) > MANY else ''
    return f'{who} an object of {list(names[:MANY])}{more}' if names else ''


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', metavar='FILE', help='annotation file in COCO format')
    parser.add_argument(
        'out', metavar='OUT_FOLDER', help='folder to write into; no such file may be there yet'
    )
    parser.add_argument(
        '--parts',
        type=float,
        nargs='+',
        default=DEFAULT,
        metavar='F',
        help='fractions of train, val and test; without the third there is no test; '
        'default: 0.8 0.1 0.1',
    )
    parser.add_argument(
        '--group',
        metavar='PATTERN',
        help='regular expression that is searched in the file names; pictures with the same text '
        "in its first group, or in the whole match, stay together, as with '^[^_]+' all whose "
        'name is the same up to the first _',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='another seed, another split; default: 0'
    )
    add_debug(parser)
    return parser
