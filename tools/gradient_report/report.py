"""One self-contained HTML page: the pictures, what each means, the worst examples, the config."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from ghm_mmdet.diagnosis.style import svg

from .crops import crop
from .figures import Picture
from .suspects import Suspect

TEMPLATE = Path(__file__).parent / 'report.html.j2'


@dataclass(frozen=True)
class Gallery:
    """Crops under a heading.

    Attributes:
        title: The heading.
        sentence: What they are.
        suspects: In the order to show.
    """

    title: str
    sentence: str
    suspects: Sequence[Suspect]


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
        pictures: In the order to show.
        galleries: In the order to show.
        classes: Names, by class index.
        config: The whole config's text.
    """
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text('utf-8'))
    drawn = [dict(title=each.title, sentence=each.sentence, svg=_svg(each)) for each in pictures]
    shown = [
        dict(
            title=each.title,
            sentence=each.sentence,
            cards=[_card(suspect, classes) for suspect in each.suspects],
        )
        for each in galleries
    ]
    page = template.render(title=title, facts=facts, pictures=drawn, galleries=shown, config=config)
    path.write_text(page, encoding='utf-8')


def _svg(picture: Picture) -> str:
    return b64encode(svg(picture.figure, picture.name)).decode()


def _card(suspect: Suspect, classes: Sequence[str]) -> dict[str, str]:
    return dict(
        said=_said(suspect, classes),
        jpeg=b64encode(crop(suspect)).decode(),
        gradient_norm=f'{suspect.gradient_norm:.3f}',
        file=Path(suspect.image_path).name,
    )


def _said(suspect: Suspect, classes: Sequence[str]) -> str:
    seen = 'nothing'
    if suspect.believed is not None:
        seen = f'{classes[suspect.believed]} ({suspect.believed_score:.2f})'
    if suspect.label is None:
        return f'not annotated, the model sees {seen}'
    label = f'{classes[suspect.label]} ({suspect.label_score:.2f})'
    return f'annotated {label}, the model sees {seen}'
