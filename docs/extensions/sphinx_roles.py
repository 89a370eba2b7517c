"""Griffe extension: docstrings are written for readers of the code; here they become Markdown."""

import re

from griffe import Extension, Object

ROLE = re.compile(r':(?:attr|class|func|meth|mod):`([\w.]+)`')
SOURCE = re.compile(r'^Source: .+(?:\n[ ]+\S.*)+', re.MULTILINE)


class SphinxRoles(Extension):
    """Roles such as ``:class:`Name``` become links, and the source of a method a paragraph."""

    def on_instance(self, *, obj: Object, **kwargs: object) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring:
            text = ROLE.sub(r'[`\1`][\1]', obj.docstring.value)
            # Griffe takes a first line with indented ones after it for the title of a box.
            obj.docstring.value = SOURCE.sub(_unindented, text)


def _unindented(source: re.Match) -> str:
    return re.sub(r'\n[ ]+', '\n', source[0])
