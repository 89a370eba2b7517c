"""One self-contained HTML page: the worst examples, the pictures with their meaning, the config."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from ghm_mmdet.diagnosis.style import svg

from .crops import crop
from .figures import Picture
from .label_errors import Suspect

TEMPLATE = Path(__file__).parent / 'report.html.j2'
LEAST_SEEN = 0.05  # score below which the model sees nothing, as MMDetection's usual score_thr


@dataclass(frozen=True)
class Gallery:
    """Crops under a heading, with an explanation.

    Attributes:
        title, sentence: Above the crops.
        entries: In the order to show, each with its id in the COCO file.
        number: What the captions call ``gradient_norm``.
    """

    title: str
    sentence: str
    entries: Sequence[tuple[int | str, Suspect]]
    number: str = 'score'


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    pictures: Sequence[Picture],
    galleries: Sequence[Gallery],
    classes: Sequence[str],
    config: str,
) -> None:
    """Write the page; it needs no other file, and nothing from a network.

    Args:
        path: The HTML file.
        title: The page's heading.
        facts: Lines of the table at its top; 'config' is the config's name.
        pictures, galleries: In the order to show.
        classes: Names, by class index.
        config: The whole config's text.
    """
    environment = Environment(autoescape=True)
    environment.filters.update(
        svg=lambda picture: b64encode(svg(picture.figure, picture.name)).decode(),
        jpeg=lambda suspect: b64encode(crop(suspect)).decode(),
        said=lambda suspect: _said(suspect, classes),
        file=lambda suspect: Path(suspect.image_path).name,
    )
    template = environment.from_string(TEMPLATE.read_text('utf-8'))
    page = template.render(
        title=title, facts=facts, pictures=pictures, galleries=galleries, config=config
    )
    path.write_text(page, encoding='utf-8')


def is_seen(suspect: Suspect) -> bool:
    """Whether the model sees something other than what is annotated."""
    return suspect.believed is not None and suspect.believed_score >= LEAST_SEEN


def _said(suspect: Suspect, classes: Sequence[str]) -> str:
    """What is annotated, and after the arrow what the model sees there, with its score."""
    annotated = 'nothing' if suspect.label is None else classes[suspect.label]
    if not is_seen(suspect):
        return f'{annotated} → nothing'
    seen = 'beside the box' if suspect.believed_box is not None else classes[suspect.believed]
    return f'{annotated} → {seen} {suspect.believed_score:.2f}'
