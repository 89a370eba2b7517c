"""How many of the worst labels are wrong: planted errors found by trained detectors.

python -m benchmarks.label_errors [CONFIG ...] [--noise 0.2] [--results FOLDER]

Makes the sample data set with wrong labels, trains on it, and ranks every training object by the
gradient norm of its label, as tools/analyze_gradients.py does. A config is one of configs/sample.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmengine.runner import Runner
from mmengine.utils import track_iter_progress

from benchmarks.command_line import RESULTS
from demo.sample import SampleSettings, make_sample_dataset
from ghm_mmdet.cli.config import load_config
from tools.gradient_report.annotated_data import annotated_loader
from tools.gradient_report.survey import Survey, survey
from tools.gradient_report.suspect_file import coco_of_suspects

CONFIGS = Path(__file__).parents[1] / 'configs' / 'sample'
DEFAULT = tuple(f'retinanet_r18_fpn_{loss}_sample' for loss in ('ce', 'focal', 'ghm'))
RANKS = (10, 25, 50, 100, 200, 400)


def trained_survey(config: str, data: Path, work_dir: Path) -> Survey:
    """Train on a data set, then judge all of its training objects."""
    cfg = load_config(config, _on(data))
    cfg.work_dir = str(work_dir)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    loader = annotated_loader(load_config(config, _on(data)), 'train')
    classes = loader.dataset.metainfo['classes']
    keep = len(_annotations(data)['annotations'])
    batches = track_iter_progress((loader, len(loader)), file=sys.stderr)
    return survey(runner.model, batches, len(classes), bins=30, mu=0.02, keep=keep)


def precision(found: Survey, data: Path) -> dict[int, float]:
    """Share of wrong labels among the worst, by how many of these; all objects come last."""
    content = _annotations(data)
    classes = [each['name'] for each in content['categories']]
    ranked = coco_of_suspects(found.annotated, classes, content)
    wrong = {each['id']: 'true_category_id' in each for each in content['annotations']}
    hits = [wrong[each['id']] for each in ranked['annotations']]
    return {rank: sum(hits[:rank]) / rank for rank in (*RANKS, len(hits))}


def _annotations(data: Path) -> dict:
    return json.loads((data / 'annotations' / 'instances_train.json').read_text())


def _on(data: Path) -> dict[str, str]:
    """Options that use a sample config with another data set."""
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    return {f'{name}.dataset.data_root': f'{data}/' for name in loaders}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='*', default=DEFAULT, help='names in configs/sample')
    parser.add_argument('--noise', type=float, default=0.2, help='share of wrong labels')
    parser.add_argument('--results', type=Path, default=RESULTS / 'label-errors', help='folder')
    args = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / 'data'
        make_sample_dataset(data, SampleSettings(label_noise=args.noise))
        for name in args.configs:
            print(f'training {name}', flush=True)
            found = trained_survey(str(CONFIGS / f'{name}.py'), data, Path(folder) / name)
            shares = precision(found, data)
            rows.append([name, args.noise, *(f'{share:.3f}' for share in shares.values())])
    header = ['config', 'noise', *(f'worst {rank}' for rank in RANKS), 'all']
    for row in [header, *rows]:
        print(*row, sep=', ')
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / 'precision.csv'
    with path.open('w', newline='') as file:
        csv.writer(file).writerows([header, *rows])
    print(f'written to {path}')


if __name__ == '__main__':
    main()
