"""docs/tools.md: a line for every tool, flag and variable, with its default, and no other line."""

from __future__ import annotations

import argparse
import re

import pytest

from tests.processes import REPOSITORY
from tests.tools.parsers import parser_of

PAGE = (REPOSITORY / 'docs' / 'tools.md').read_text()
PROGRAMS = [
    *sorted(path.name for path in REPOSITORY.glob('tools/*.py')),
    *('setup/doctor.py', 'setup/build_mmcv.py'),
]
SCRIPTS = sorted(path.name for path in REPOSITORY.glob('tools/*.sh'))
VARIABLE = re.compile(r'\$\{([A-Z_]+):-([^}$]*)')


def rows(section):
    """The cells of a section's tables, without their headings."""
    lines = (line.strip('|') for line in section.splitlines() if line.startswith('|'))
    cells = [[cell.strip() for cell in re.split(r'(?<!\\)\|', line)] for line in lines]
    return [row for row in cells if row[0].startswith('`')]


def sections():
    """The part below each heading, by each of the names in it."""
    parts = re.split(r'^## (.+)\n', PAGE, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2])
    return {name: text for heading, text in pairs for name in heading.split(', ')}


SECTIONS = sections()


def names(cell):
    """What a row is about: `--a X`, `--b X` are --a and --b."""
    return [code.split()[0].upper() for code in re.findall('`(.+?)`', cell)]


def lines_of(tool):
    """Default and meaning by argument: of the tool's table, and of the table for several."""
    stem = tool.rpartition('/')[2].partition('.')[0]
    own = {name: row[1:] for row in rows(SECTIONS[f'tools/{tool}']) for name in names(row[0])}
    for cell, default, tools, meaning in rows(SECTIONS['Flags of several tools']):
        if stem in tools.split(', '):
            for name in names(cell):
                assert name not in own
                own[name] = [default, meaning]
    return own


def test_every_tool_has_a_section():
    tools = {name for name in SECTIONS if name.startswith('tools/')}
    assert tools == {f'tools/{name}' for name in (*PROGRAMS, *SCRIPTS)}


def test_shared_flags_are_those_of_tools():
    stems = {name.partition('.')[0] for name in PROGRAMS}
    for _, _, tools, _ in rows(SECTIONS['Flags of several tools']):
        assert set(tools.split(', ')) <= stems


@pytest.mark.parametrize('tool', PROGRAMS)
def test_flags(tool):
    actions = {}
    for action in parser_of(REPOSITORY / 'tools' / tool)._actions:
        for name in action.option_strings or [action.metavar or action.dest]:
            actions[name.upper()] = action
    del actions['-H'], actions['--HELP']
    page = lines_of(tool)
    assert page.keys() == actions.keys()
    for name, action in actions.items():
        default, meaning = page[name]
        assert meaning
        given = action.default
        if given is not None and given is not False and given != argparse.SUPPRESS:
            values = given if isinstance(given, (list, tuple)) else [given]
            assert default.strip('`') == ' '.join(map(str, values)), name
        for choice in action.choices or ():
            assert f'`{choice}`' in meaning, name


@pytest.mark.parametrize('script', SCRIPTS)
def test_variables(script):
    text = (REPOSITORY / 'tools' / script).read_text()
    page = {names(row[0])[0]: row[1].strip('`') for row in rows(SECTIONS[f'tools/{script}'])}
    found = dict(VARIABLE.findall(text))
    assert page.keys() == found.keys()
    for name, default in found.items():
        assert page[name] == default or not default
    usage = re.search(r'usage: \$0 ([A-Z_ ]+)', text)[1]
    assert f'tools/{script} {usage.strip()} [flags of' in PAGE
