"""Compares how the report's lists, cleanlab's scores and loss inspection find planted label errors.

python -m studies.label_errors [--seeds 5] [--first-seed 0] --out FOLDER

For each seed it makes the sample data with 5% wrong labels, 5% shifted, 5% missing and 5% bogus
boxes, trains a RetinaNet on it, and ranks the training annotations by an early and the last
checkpoint. Needs cleanlab (requirements/label-errors.txt). Finished trainings are kept.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from mmengine.config import Config
from mmengine.runner import Runner

from demo.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.cli.config import load_config
from ghm_mmdet.cli.detector import build_detector, load_weights
from studies.found_errors import MEASURES, found
from studies.label_rankings import (
    KINDS,
    Rankings,
    Seen,
    cleanlab_rankings,
    look_at,
    loss_rankings,
    report_rankings,
)
from studies.plant_errors import noisy_file
from tools.gradient_report.annotated_data import annotated_loader

CONFIG = Path(__file__).parents[1] / 'configs/sample/retinanet_r18_fpn_ce_sample.py'
EARLY, LAST = 8, 17  # epochs
FRACTION = 0.05  # of the objects, for each kind of error
NOISY = 'annotations/instances_train_noisy.json'
LOWEST_SCORE = 0.01  # of a detection, as in the report
LOW, HIGH = 0.2, 0.5  # cleanlab's thresholds where they are chosen on seed 10
METHODS = ('report', 'cleanlab', 'cleanlab, low thresholds', 'loss inspection')
COLUMNS = ('seed', 'checkpoint', 'method', 'kind', *MEASURES)
Row = dict[str, 'str | int | float']


def make_data(folder: Path, seed: int) -> dict:
    """The sample data of a seed and the content of its training file, with errors in it."""
    make_sample_dataset(folder, SampleSettings(seed=seed))
    content = noisy_file(
        str(folder / 'annotations/instances_train.json'),
        seed,
        label_noise=FRACTION,
        missing=FRACTION,
        shifted=FRACTION,
        bogus=FRACTION,
    )
    (folder / NOISY).write_text(json.dumps(content))
    return content


def config_on(data: Path, seed: int) -> Config:
    """The detector's config with a data set that has errors; it does not validate."""
    return load_config(
        str(CONFIG),
        {
            'train_dataloader.dataset.data_root': f'{data}/',
            'train_dataloader.dataset.ann_file': NOISY,
            'default_hooks.checkpoint.interval': EARLY,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'randomness.seed': seed,
        },
    )


def train(data: Path, work_dir: Path, seed: int) -> None:
    """Train a detector, and keep its checkpoints of the early and of the last epoch."""
    if (work_dir / f'epoch_{LAST}.pth').exists():
        return
    cfg = config_on(data, seed)
    cfg.work_dir = str(work_dir)
    cfg.resume = True  # an earlier run may have been interrupted
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    Runner.from_cfg(cfg).train()


def rankings_of(seen: Seen, num_classes: int) -> dict[str, Rankings]:
    """The rankings of each of ``METHODS``."""
    return {
        'report': report_rankings(seen, num_classes),
        'cleanlab': cleanlab_rankings(seen, num_classes),
        'cleanlab, low thresholds': cleanlab_rankings(seen, num_classes, LOW, HIGH),
        'loss inspection': loss_rankings(seen, num_classes),
    }


def rows_of_seed(folder: Path, seed: int) -> Iterator[Row]:
    """Make the data of a seed, train on it, and judge each ranking; one row for each."""
    data, work_dir = folder / 'data', folder / 'run'
    content = make_data(data, seed)
    train(data, work_dir, seed)
    for name, epoch in (('early', EARLY), ('last', LAST)):
        cfg = config_on(data, seed)
        cfg.model.test_cfg.score_thr = LOWEST_SCORE
        model = build_detector(cfg, str(CONFIG))
        load_weights(model, str(work_dir / f'epoch_{epoch}.pth'), str(CONFIG))
        seen = look_at(model, annotated_loader(cfg, 'train'))
        for method, rankings in rankings_of(seen, len(content['categories'])).items():
            for kind in KINDS:
                shares = found(rankings[kind], kind, content)
                yield dict(seed=seed, checkpoint=name, method=method, kind=kind, **shares)


def tables(rows: Sequence[Row]) -> str:
    """Markdown: for each checkpoint and measure, means and deviations over seeds, in percent.

    The last rows are the differences between the report and each other method in the mean of the
    kinds, paired by seed, and their standard errors.
    """
    values = defaultdict(dict)
    for row in rows:
        for measure in MEASURES:
            key = (row['checkpoint'], measure, row['method'])
            values[key].setdefault(row['kind'], []).append(100 * float(row[measure]))
    lines = []
    for checkpoint in ('early', 'last'):
        for measure in MEASURES:
            by_method = {name: values[checkpoint, measure, name] for name in METHODS}
            lines += _table(f'{measure}, {checkpoint} checkpoint', by_method)
    return '\n'.join(lines)


def _table(title: str, by_method: Mapping[str, dict[str, list[float]]]) -> list[str]:
    for by_kind in by_method.values():
        by_kind['mean'] = [mean(each) for each in zip(*(by_kind[kind] for kind in KINDS))]
    columns = (*KINDS, 'mean')
    lines = [f'| {title} | {" | ".join(columns)} |', '|---' * (len(columns) + 1) + '|']
    for name, by_kind in by_method.items():
        cells = [_with_spread(by_kind[column]) for column in columns]
        lines.append(f'| {name} | {" | ".join(cells)} |')
    for name in METHODS[1:]:
        cells = [
            _with_spread([a - b for a, b in zip(by_method['report'][column], other)], error=True)
            for column, other in ((column, by_method[name][column]) for column in columns)
        ]
        lines.append(f'| report - {name} | {" | ".join(cells)} |')
    return [*lines, '']


def _with_spread(values: Sequence[float], error: bool = False) -> str:
    """A mean with the deviation of the values or with its standard error."""
    if len(values) < 2:
        return f'{mean(values):.1f}'
    spread = stdev(values) / (len(values) ** 0.5 if error else 1)
    return f'{mean(values):.1f} ± {spread:.1f}'


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the given arguments, by default the command line's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, default=5, help='how many; default: %(default)s')
    parser.add_argument('--first-seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--out', type=Path, required=True, help='folder; it may have runs already')
    args = parser.parse_args(arguments)
    path = args.out / 'label-errors.csv'
    rows = []
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        rows += rows_of_seed(args.out / f'seed{seed}', seed)
        with path.open('w', newline='') as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    print(tables(rows))
    print(f'written to {path}')


if __name__ == '__main__':
    main()
