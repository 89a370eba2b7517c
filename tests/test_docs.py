"""That `make docs` fails on what is broken, and that the site is complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.setup.sites import REPOSITORY

PAGE = """# Page

[here](#part), [there](other.md), [part](other.md#part), [list](../LICENSE), [read](../README.md)

<a href="other.html#part">HTML</a>

## Part

::: module
"""
MODULE = '"""A module.\n\nSee :func:`function`.\n"""\n\n\ndef function():\n    """A function."""\n'
DOCSTRING = 'def lost():\n    """See :func:`missing`."""'
FAULTS = {
    'page': ('docs/page.md', '[link](missing.md)', 'missing.md'),
    'anchor': ('docs/page.md', '[link](#missing)', '#missing'),
    'anchor of another page': ('docs/page.md', '[link](other.md#missing)', 'other.md#missing'),
    'picture': ('docs/page.md', '![picture](images/missing.png)', 'images/missing.png'),
    'file beside docs': ('docs/page.md', '[link](../configs/missing.py)', 'configs/missing.py'),
    'page from the README': ('README.md', '[link](docs/missing.md)', 'docs/missing.md'),
    'folder': ('docs/page.md', '[link](../configs)', "'../configs'"),
    'path from the root': ('docs/page.md', '[link](/docs/other.md)', '/docs/other.md'),
    'path from the root in HTML': (
        'docs/page.md',
        '<a href="/docs/other.html">l</a>',
        'not of this',
    ),
    'HTML': ('docs/page.md', '<a href="missing.html">link</a>', 'missing.html'),
    'anchor in HTML': ('docs/page.md', '<a href="other.html#missing">link</a>', '#missing'),
    'picture in HTML': ('docs/page.md', '<img src="missing.png">', 'missing.png'),
    'object': ('docs/page.md', '::: module.missing', 'module.missing'),
    'name in a docstring': ('module.py', DOCSTRING, "'missing'"),
    'page outside the nav': ('docs/lost.md', '# Lost', 'lost.md'),
}


def nav_pages(entries: list | dict | str) -> Iterator[str]:
    """The pages of a navigation, however deep."""
    if isinstance(entries, str):
        yield entries
    else:
        for entry in entries.values() if isinstance(entries, dict) else entries:
            yield from nav_pages(entry)


def settings() -> dict:
    """What mkdocs.yml says."""
    return yaml.safe_load((REPOSITORY / 'mkdocs.yml').read_text())


@pytest.fixture
def small_site(tmp_path) -> Path:
    """A small repository with this one's settings and hooks."""
    for name in ('Makefile', 'LICENSE', 'docs/style.css', 'docs/extensions'):
        source, target = REPOSITORY / name, tmp_path / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    (tmp_path / 'README.md').write_text('# Read\n\n[page](docs/page.md#part)\n')
    (tmp_path / 'docs' / 'page.md').write_text(PAGE)
    (tmp_path / 'docs' / 'other.md').write_text('# Other\n\n## Part\n')
    (tmp_path / 'module.py').write_text(MODULE)
    small = {**settings(), 'nav': ['README.md', 'docs/page.md', 'docs/other.md'], 'watch': []}
    (tmp_path / 'mkdocs.yml').write_text(yaml.safe_dump(small))
    return tmp_path


def make_docs(folder: Path) -> subprocess.CompletedProcess:
    """Run `make docs` with what is installed here."""
    pytest.importorskip('mkdocs', reason='needs the packages that `make docs` installs')
    installed = f'{sys.prefix}/.done/docs'
    return subprocess.run(
        ['make', 'docs', f'VENV={sys.prefix}', '-o', installed],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_docs_of_a_sound_site_are_built_and_load_nothing_from_elsewhere(small_site):
    done = make_docs(small_site)
    assert done.returncode == 0, done.stderr
    page = (small_site / 'site' / 'docs' / 'page.html').read_text()
    for link in ('href="other.html#part"', 'href="../LICENSE"', 'href="../index.html"'):
        assert link in page
    assert 'id="module.function"' in page
    assert ':func:' not in page
    assert re.findall('(?:src|rel="stylesheet" href)="http', page) == []


@pytest.mark.parametrize('fault', FAULTS)
def test_docs_fail_on_what_leads_nowhere(small_site, fault):
    name, broken, named = FAULTS[fault]
    with (small_site / name).open('a') as file:
        file.write(f'\n{broken}\n')
    done = make_docs(small_site)
    assert done.returncode != 0
    assert named in done.stderr


def test_every_page_is_in_the_nav_and_is_there():
    nav = set(nav_pages(settings()['nav']))
    pages = {path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.glob('docs/**/*.md')}
    assert pages <= nav
    assert [name for name in sorted(nav) if not (REPOSITORY / name).is_file()] == []


def test_the_readme_says_what_lives_in_every_folder():
    section = (REPOSITORY / 'README.md').read_text().partition('## How the code is laid out')[2]
    cells = re.findall(r'^\| (`.+?) \|', section, re.MULTILINE)
    named = re.findall(r'`([\w/]+)`', ' '.join(cells))
    assert [name for name in named if not (REPOSITORY / name).is_dir()] == []
    for parent, prefix in ((REPOSITORY, ''), (REPOSITORY / 'ghm_mmdet', 'ghm_mmdet/')):
        rooms = {f'{prefix}{file.parent.name}' for file in parent.glob('[!.]*/__init__.py')}
        assert rooms - {'ghm_mmdet', *named} == set()


def pins(name: str) -> list[Requirement]:
    """The lines of a file of requirements/ for this Python."""
    lines = (REPOSITORY / 'requirements' / f'{name}.txt').read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith('#')]
    return [each for each in found if not each.marker or each.marker.evaluate()]


def test_pins_are_complete_and_agree_with_the_others():
    pytest.importorskip('mkdocs', reason='needs the packages that `make docs` installs')
    docs = {each.name: str(each.specifier) for each in pins('docs')}
    for name in ('packages', 'python3.10', 'dev', 'notebook'):
        others = {each.name: str(each.specifier) for each in pins(name)}
        shared = docs.keys() & others.keys()
        assert {each: docs[each] for each in shared} == {each: others[each] for each in shared}
    known = {name.lower().replace('_', '-'): f'{pin[2:]}' for name, pin in docs.items()}
    for name in docs:
        for requirement in map(Requirement, requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({'extra': ''}):
                pinned = known[requirement.name.lower().replace('_', '-')]
                assert requirement.specifier.contains(pinned), f'{name} needs {requirement}'
