"""How far a pass over pictures is, and how long the rest will take, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from mmengine.utils import ProgressBar


def shown(batches: Iterable[dict], images: int) -> Iterator[dict]:
    """The batches as they come, with a line that counts their pictures.

    Args:
        batches: What a dataloader yields.
        images: How many pictures they have together.
    """
    progress = ProgressBar(images, file=sys.stderr)
    for batch in batches:
        yield batch
        progress.update(len(batch['inputs']))
    print(file=sys.stderr)
