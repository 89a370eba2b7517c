"""Draws the figures of the studies on small data from their tables and logs.

noise: final AP against the share of wrong labels, from tables of studies.reproduce.
curves: mAP over epochs with bands over seeds, from the curves of studies.reproduce.
density: examples and gradient per region, from the first and last values of GradientDensityHook.
suspects: the first crop of each gallery, from the reports of tools/analyze_gradients.py.
detections: what the detectors of some runs find on the first test pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.image
from matplotlib.figure import Figure

from ghm_mmdet.cli.command_line import add_debug, one_line_errors
from ghm_mmdet.cli.config import ConfigError
from ghm_mmdet.diagnosis.style import DPI, save
from studies.curves import draw_curves, read_curves
from studies.density_log import draw_looks, read_looks
from studies.detections_figure import (
    annotated_objects,
    draw_detections,
    found_objects,
    run_config,
)
from studies.noise_figure import MARKERS, draw_noise, read_table
from studies.suspects_figure import draw_suspects, first_suspects

FILES = {'.png': ('.png', '.svg'), '.jpg': ('.jpg',)}
OUT_HELP = 'FILE.png, with the SVG beside it, or FILE.jpg, for photographs'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``studies.study_figures`` with the given arguments, by default the command line's."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        out = Path(args.out)
        if out.suffix not in FILES:
            raise ConfigError(f'--out {out}: must end in {" or ".join(FILES)}')
        taken = [path for path in map(out.with_suffix, FILES[out.suffix]) if path.exists()]
        if taken:
            raise ConfigError(f'--out {taken[0]}: exists already; remove it or name another file')
        figure = args.draw(args)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == '.jpg':
            figure.savefig(out, dpi=DPI)
            print(out)
        else:
            print(*save(figure, out), sep='\n')


def _noise(args: argparse.Namespace) -> Figure:
    tables = {}
    for each in args.tables:
        share, _, path = each.partition('=')
        try:
            tables[float(share)] = read_table(Path(path))
        except ValueError as error:
            raise ConfigError(f'{each}: must be SHARE=TABLE.csv, {error}') from error
    names = dict(_named(each) for each in args.rows)
    return draw_noise(tables, names, args.title)


def _curves(args: argparse.Namespace) -> Figure:
    panels = [each.rpartition('=') for each in args.curves]
    curves = {title or Path(path).stem: read_curves(Path(path)) for title, _, path in panels}
    return draw_curves(curves, dict(_named(each) for each in args.rows))


def _named(text: str) -> tuple[str, str]:
    row, _, name = text.partition('=')
    if name not in MARKERS:
        raise ConfigError(f'--rows {text}: must be ROW=NAME, NAME one of {", ".join(MARKERS)}')
    return row, name


def _density(args: argparse.Namespace) -> Figure:
    runs = [each.rpartition('=') for each in args.runs]
    return draw_looks(
        [(label or Path(path).name, read_looks(Path(path), args.loss)) for label, _, path in runs]
    )


def _suspects(args: argparse.Namespace) -> Figure:
    reports = [each.rpartition('=') for each in args.reports]
    return draw_suspects(
        {title or Path(path).name: first_suspects(Path(path)) for title, _, path in reports}
    )


def _detections(args: argparse.Namespace) -> Figure:
    runs = [each.rpartition('=') for each in args.runs]
    annotated, classes = annotated_objects(run_config(Path(runs[0][2])), args.pictures)
    columns = {'annotated': list(annotated.values())}
    for title, _, path in runs:
        columns[title or Path(path).name] = found_objects(Path(path), list(annotated))
    pictures = [matplotlib.image.imread(path) for path in annotated]
    return draw_detections(pictures, columns, classes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m studies.study_figures',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--out', required=True, metavar='FILE', help=OUT_HELP)
    add_debug(common)
    figures = parser.add_subparsers(required=True, metavar='FIGURE')
    rows = argparse.ArgumentParser(add_help=False)
    rows.add_argument(
        '--rows', nargs='+', required=True, metavar='ROW=NAME', help=f'NAME: {", ".join(MARKERS)}'
    )
    curves = figures.add_parser('curves', parents=[common, rows], help='mAP over epochs')
    curves.add_argument('curves', nargs='+', metavar='[TITLE=]CURVES.csv')
    curves.set_defaults(draw=_curves)
    noise = figures.add_parser('noise', parents=[common, rows], help='AP against wrong labels')
    noise.add_argument('tables', nargs='+', metavar='SHARE=TABLE.csv')
    noise.add_argument('--title', default='', help='of the figure, such as the data')
    noise.set_defaults(draw=_noise)
    density = figures.add_parser('density', parents=[common], help='density early and late')
    density.add_argument('runs', nargs='+', metavar='[LABEL=]WORK_DIR')
    density.add_argument('--loss', default='bbox_head.loss_cls', help='default: %(default)s')
    density.set_defaults(draw=_density)
    suspects = figures.add_parser('suspects', parents=[common], help='crops of reports')
    suspects.add_argument('reports', nargs='+', metavar='[TITLE=]REPORT')
    suspects.set_defaults(draw=_suspects)
    detections = figures.add_parser('detections', parents=[common], help='boxes on pictures')
    detections.add_argument('runs', nargs='+', metavar='[TITLE=]WORK_DIR')
    detections.add_argument('--pictures', type=int, default=2, help='default: %(default)s')
    detections.set_defaults(draw=_detections)
    return parser


if __name__ == '__main__':
    main()
