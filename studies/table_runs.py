"""The trainings of a table: configs, commands, state and results."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

from ghm_mmdet.cli.config import ConfigError, load_config, merge_options
from studies.run_log import RunError
from studies.run_table import Summary, summarize
from studies.runs import Run, read_run
from studies.tables import Row

METRIC = 'coco/bbox_mAP'
RESULT = 'result.json'
TEST_RESULT = 'test-result.json'
OUTPUT = 'output.txt'
SMALL_BASES = {
    'bccd': 'bccd/retinanet_r18_fpn_focal-6e_bccd.py',
    'sample': 'sample/_base_/retinanet_r18_fpn_sample.py',
    'sample-long-tail': '../studies/configs/retinanet_r18_fpn_sample-long-tail.py',
    'tiny_coco': 'tiny_coco/retinanet_r18_fpn_focal-40e_tiny-coco.py',
    'bccd-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_bccd.py',
    'cards-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_cards.py',
    'pcb-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_pcb.py',
    'sample-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_sample.py',
    'tiny_coco-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-40e_tiny-coco.py',
    'raccoon-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-20e_raccoon.py',
    'kangaroo-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-30e_kangaroo.py',
    'steel-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-4e_steel.py',
    'starwars-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_starwars.py',
    'tile-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-10e_tile.py',
    'plates-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-6e_plates.py',
    'controllers-pretrained': '../studies/configs/retinanet_lite0_fpn_focal-20e_controllers.py',
}
"""The config whose losses a row replaces, by the data."""
MEASURED_ON = {
    'coco': {'val': 'COCO val2017'},
    'bccd': {'val': 'BCCD val', 'test': 'BCCD test'},
    'sample': {'val': 'sample val'},
    'sample-long-tail': {'val': 'long-tailed sample val', 'test': 'long-tailed sample val'},
    'tiny_coco': {'val': 'tiny COCO val'},
    'bccd-pretrained': {'val': 'BCCD val', 'test': 'BCCD test'},
    'cards-pretrained': {'val': 'cards val', 'test': 'cards test'},
    'pcb-pretrained': {'val': 'PCB val', 'test': 'PCB test'},
    'sample-pretrained': {'val': 'sample val'},
    'tiny_coco-pretrained': {'val': 'tiny COCO val'},
    'raccoon-pretrained': {'val': 'raccoon val'},
    'kangaroo-pretrained': {'val': 'kangaroo val'},
    'steel-pretrained': {'val': 'steel val'},
    'starwars-pretrained': {'val': 'starwars val'},
    'tile-pretrained': {'val': 'tile val'},
    'plates-pretrained': {'val': 'plates val'},
    'controllers-pretrained': {'val': 'controllers val'},
}
"""By the data: its splits, val to choose by and, if it has one, test for the end.

The long-tailed sample has none: nothing is chosen on it, and its test is its val."""


@dataclass(frozen=True)
class TableRun:
    """One row with one seed.

    Attributes:
        row: The table's.
        seed: Of everything random.
        cfg: The config that is trained, with its options.
        config: Its file.
        text: Content of the file, without the options; None for a file of the repository.
        work_dir: Folder of the training.
    """

    row: Row
    seed: int
    cfg: Config
    config: Path
    text: str | None
    work_dir: Path

    @property
    def name(self) -> str:
        """Name of the run in messages."""
        return f'{self.row.name} seed {self.seed}'

    @property
    def epochs(self) -> int:
        """Number of epochs of the training."""
        return self.cfg.train_cfg.max_epochs


def row_config(row: Row, data: str, configs: Path) -> Config:
    """The config that trains a row on a data set.

    On COCO that is the row's own config. On a small data set it is the set's RetinaNet with the
    head's type and the losses of the row, or the row's whole detector, checkpoints after every
    epoch, and all else unchanged. The row's changes come last.

    Args:
        row: Of a table that is possible on this data.
        data: 'coco' or one of ``SMALL_BASES``.
        configs: The folder ``configs/``.

    Raises:
        ConfigError: A config cannot be read.
    """
    own = load_config(str(configs / row.config))
    if data == 'coco':
        own.merge_from_dict(dict(row.changes))
        return own
    cfg = load_config(str(configs / SMALL_BASES[data]))
    if row.detector:
        own.model.bbox_head.num_classes = cfg.model.bbox_head.num_classes
        cfg.model = own.model
    else:
        for part in ('type', 'loss_cls', 'loss_bbox'):
            cfg.model.bbox_head[part] = own.model.bbox_head[part]
    imports = {'ghm_mmdet', *cfg.get('custom_imports', {}).get('imports', ())}
    cfg.custom_imports = dict(imports=sorted(imports), allow_failed_imports=False)
    # a run that was stopped in its last validation continues from the last but one
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=2)
    cfg.merge_from_dict(dict(row.changes))
    return cfg


def plan_row(
    row: Row, seeds: Sequence[int], data: str, root: Path, out: Path, options: Mapping[str, object]
) -> list[TableRun]:
    """A row's runs, one for each seed; nothing is written.

    Args:
        row: Of the table.
        seeds: Of the runs.
        data: 'coco' or one of ``SMALL_BASES``.
        root: Folder with ``configs/`` and ``tools/``.
        out: Folder of the table.
        options: Of ``--cfg-options``.

    Raises:
        ConfigError: A config cannot be read, or the options do not fit into it.
    """
    cfg = row_config(row, data, root / 'configs')
    config, text = root / 'configs' / row.config, None
    if data != 'coco' or row.changes:
        config, text = out / row.name / f'{row.name}.py', cfg.pretty_text
    if text and config.exists() and config.read_text('utf-8') != text:
        raise ConfigError(f'{config}: was made of other configs than these; name another --out')
    merge_options(cfg, options, row.config)
    return [
        TableRun(row, seed, cfg, config, text, out / row.name / f'seed{seed}') for seed in seeds
    ]


def seed_of(work_dir: Path) -> int:
    """The seed by the name of a run's folder, which :func:`plan_row` gives it."""
    return int(work_dir.name[len('seed') :])


def write_config(run: TableRun) -> None:
    """Write a run's config unless it exists or is a file of the repository."""
    if run.text and not run.config.exists():
        run.config.parent.mkdir(parents=True, exist_ok=True)
        write_whole(run.config, run.text)


def command(run: TableRun, root: Path, gpus: int, options: Sequence[str]) -> list[str]:
    """The command that starts or resumes a run.

    The learning rate is scaled with the GPUs if the config has a base batch size.

    Args:
        run: To start.
        root: Folder with ``tools/``.
        gpus: Ranks; one is a plain process.
        options: ``KEY=VALUE``, as on the command line.
    """
    tools = root / 'tools'
    start = [sys.executable, str(tools / 'train.py'), str(run.config)]
    if gpus > 1:
        start = [str(tools / 'dist_train.sh'), str(run.config), str(gpus)]
    scaled = 'base_batch_size' in run.cfg.get('auto_scale_lr', {})
    return [
        *start,
        *('--work-dir', str(run.work_dir)),
        *(['--auto-scale-lr'] if scaled else []),
        *_resume(run),
        *('--cfg-options', f'randomness.seed={run.seed}', *options),
    ]


def environment() -> dict[str, str]:
    """Environment variables with which the tools use this package and this Python."""
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get('PYTHONPATH')]))
    return {**os.environ, 'PYTHONPATH': path, 'PYTHON': sys.executable}


def _resume(run: TableRun) -> list[str]:
    """Arguments that resume a run; one epoch earlier if only the last validation is missing."""
    last = run.work_dir / 'last_checkpoint'
    epoch = re.search(r'epoch_(\d+)\.pth$', last.read_text().strip()) if last.is_file() else None
    if epoch is None or int(epoch[1]) < run.epochs:
        return ['--resume', 'auto']
    earlier = run.work_dir / f'epoch_{run.epochs - 1}.pth'
    return ['--resume', str(earlier)] if earlier.is_file() else []


def epochs_begun(run: TableRun) -> int:
    """The epoch that was logged last; 0 before the first line."""
    logged = _read(run)
    return (logged.train[-1].epoch or 0) if logged else 0


def saved_result(run: TableRun) -> Summary | None:
    """The results of a finished run, or None.

    A run that was stopped between its last validation and its result is finished too.

    Raises:
        ConfigError: The file of the result is broken.
    """
    path = run.work_dir / RESULT
    if path.is_file():
        return read_result(path)
    logged = _read(run)
    last = logged.validations[-1] if logged and logged.validations else None
    if last is None or last.epoch != run.epochs or METRIC not in last.metrics:
        return None
    summary = summarize(logged, run.name, METRIC)
    write_result(path, summary)
    return summary


def read_result(path: Path) -> Summary:
    """Read the file of :func:`saved_result`.

    Raises:
        ConfigError: It is another kind of file.
    """
    try:
        return Summary(**json.loads(path.read_text('utf-8')))
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{path}: no result of a run; remove it to have the run again') from error


def write_result(path: Path, summary: Summary) -> None:
    """Write the file of :func:`read_result`."""
    write_whole(path, json.dumps(asdict(summary), indent=1) + '\n')


def _read(run: TableRun) -> Run | None:
    try:
        return read_run(run.work_dir)
    except RunError:
        return None


def write_whole(path: Path, text: str) -> None:
    """Write a file at once: a reader finds the old or the new text, never a part."""
    part = path.with_name(f'{path.name}.part')
    part.write_text(text, encoding='utf-8')
    part.replace(path)
