"""Files that a tool writes for the user, never over one that is there."""

from __future__ import annotations

import json
from pathlib import Path

from ghm_mmdet.cli.config import ConfigError


def write_new_json(path: Path, content: object) -> None:
    """Write a JSON file.

    Raises:
        ConfigError: It is there already, or cannot be written.
    """
    text = json.dumps(content)  # json.dump takes several times as long
    try:
        with path.open('x', encoding='utf-8') as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f'{path}: exists already; remove it or name another file') from None
    except OSError as error:
        raise ConfigError(f'{path}: cannot be written: {error.strerror}') from error
