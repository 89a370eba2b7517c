"""MkDocs hook: every link of the built pages has to lead to a file and an anchor of the site.

MkDocs checks the links that are written in Markdown. Those in HTML, and those that the theme and
the API pages are made with, show only in what was built.
"""

from __future__ import annotations

import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig

# --strict counts the warnings of this logger and its children.
log = logging.getLogger('mkdocs.check_links')


class Page(HTMLParser):
    """What a page links to, and which anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the anchors and links of an element."""
        values = dict(attrs)
        self.anchors.update(values[name] for name in ('id', 'name') if values.get(name))
        self.links.update(values[name] for name in ('href', 'src') if values.get(name))


def on_post_build(config: MkDocsConfig) -> None:
    """Warn of each link inside the site that leads nowhere."""
    site = Path(config.site_dir).resolve()
    base = urlsplit(config.site_url or '').path or '/'
    pages = {path: _read(path) for path in sorted(site.rglob('*.html'))}
    for path, page in pages.items():
        for link in sorted(page.links):
            fault = _fault(site, base, path, link, pages)
            if fault:
                log.warning("'%s' links to '%s': %s", path.relative_to(site), link, fault)


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding='utf-8'))
    return page


def _fault(site: Path, base: str, path: Path, link: str, pages: dict[Path, Page]) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = path
    # a path from the server's root, as on the page for errors: the site has a part of the server
    if parts.path.startswith('/'):
        if not parts.path.startswith(base):
            return 'not of this site'
        target = (site / unquote(parts.path[len(base) :])).resolve()
    elif parts.path:
        target = (path.parent / unquote(parts.path)).resolve()
    if target.is_dir():
        target = target / 'index.html'
    if not target.is_file():
        return 'no such file'
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return 'no such anchor'
    return None
