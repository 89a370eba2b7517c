"""Report the gradient norms of a detector on a data set, and the labels that it contradicts.

Runs the data set through any detector, whatever losses it was trained with. Writes
figures as PNG, SVG and CSV, the worst examples as COCO files for a labelling tool, and an HTML page
with all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MessageHub, MMLogger
from mmengine.utils import track_iter_progress
from torch import nn
from torch.utils.data import DataLoader

from ghm_mmdet.cli.check_config import check_config, nested
from ghm_mmdet.cli.check_data import check_data
from ghm_mmdet.cli.checkpoint import check_checkpoint
from ghm_mmdet.cli.command_line import add_config, add_trust, one_line_errors
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.cli.detector import build_detector, load_weights
from ghm_mmdet.datasets.check import leaf_datasets
from ghm_mmdet.datasets.tolerant_loading import tolerate_undecodable
from ghm_mmdet.mm_patches import guard_checkpoints
from gradient_report.annotated_data import SPLITS, annotated_loader
from gradient_report.figures import Picture, pictures_of
from gradient_report.label_errors import Suspect
from gradient_report.report import Gallery, is_seen, write_report
from gradient_report.survey import Survey, survey
from gradient_report.suspect_file import coco_of_suspects

NUM_REGIONS = 90  # whole numbers of them in the 10 and the 30 regions of the published settings
SCORE_THRESHOLD = 0.01
SHOWN = 200  # crops in a gallery of the page; the COCO files have all
ANNOTATED = (
    'Labels that the model disagrees with',
    'Annotated objects, the largest g = (1 - p of its label + p of the best other class) / 2 '
    'first. Near 1 the model is sure of another class: look for wrong labels in the first rows. '
    'The arrow goes from the annotated class to the one that the model sees, with its score. '
    'Objects where it sees no other class are left out; those where it sees nothing are in the '
    'last gallery.',
)
UNANNOTATED = (
    'Objects that nobody annotated',
    'Detections that overlap no annotation, the highest score first: missing boxes, or background '
    'that the model takes for an object. score = that of the detection.',
)
BADLY_PLACED = (
    'Boxes that the model sees elsewhere',
    'The model sees an object of the annotated class beside the box and none in it. The surest and '
    "farthest come first: look for badly placed boxes. The dashed box is the model's. score = "
    '(1 - p of the class in the box) x the highest p x (1 - IoU) of a detection beside it.',
)
UNSEEN = (
    'Annotations where the model sees nothing',
    'Annotated objects where the model detects no object of any class, the highest score first: '
    'look for boxes without an object, and for objects that are hard to see. score = 1 - the '
    'highest p x IoU of a detection.',
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool with the given arguments, by default those of the command line."""
    args = _parser().parse_args(arguments)
    with one_line_errors(args.debug):
        cfg, out = prepare(args)
        with redirect_stdout(StringIO()):  # pycocotools prints lines while it reads
            loader = annotated_loader(cfg, args.split, args.images)
        model = _model(cfg, args)
    classes = loader.dataset.metainfo['classes']
    batches = track_iter_progress((loader, len(loader)), file=sys.stderr)
    with one_line_errors(args.debug):
        found = survey(model, batches, len(classes), NUM_REGIONS, args.mu, args.worst)
        for each in tolerate_undecodable(loader.dataset):
            for path in each.paths:
                print(f'{path}: cannot be decoded, is left out', file=sys.stderr)
        if not found.records:
            raise ConfigError(
                f'{args.config}: no classification or box loss of its heads was called; SSD has '
                "one with bbox_head.type='GHMSSDHead'"
            )
    strides = _strides(model)
    pictures = [
        picture
        for record in found.records.values()
        for picture in pictures_of(record, classes, strides, args.per_class)
    ]
    for path in _write(args, cfg, out, found, pictures, loader):
        print(path)


def prepare(args: argparse.Namespace) -> tuple[Config, Path]:
    """The checked config and the folder to write to, which is new or empty.

    Raises:
        ConfigError, DataError: See the checks.
    """
    guard_checkpoints(args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg, ())
    check_checkpoint(args.checkpoint, 'CHECKPOINT')
    for name in ('images', 'worst'):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f'--{name} {value}: must be at least 1')
    if not args.mu > 0:
        raise ConfigError(f'--mu {args.mu}: must be above 0')
    if cfg.get(f'{args.split}_dataloader'):
        check_data(cfg, (args.split,))
    default = Path('work_dirs', Path(args.config).stem, f'gradients_{Path(args.checkpoint).stem}')
    out = Path(args.out or default)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f'--out {out}: not empty; name a folder that is new or empty')
    return cfg, out


def _model(cfg: Config, args: argparse.Namespace) -> nn.Module:
    # building and loading say a page about each layer otherwise
    MMLogger.get_instance('analyze_gradients', log_level='ERROR')
    for _, part in nested(cfg.model, 'model'):
        if 'score_thr' in part:  # low scores show that the model disagrees with a label
            part['score_thr'] = min(part['score_thr'], SCORE_THRESHOLD)
    model = build_detector(cfg, args.config)
    loaded = load_weights(model, args.checkpoint, args.config)
    # TOOD's loss depends on the epoch
    MessageHub.get_current_instance().update_info('epoch', loaded.get('meta', {}).get('epoch', 0))
    return model.to(get_device())


def _strides(model: nn.Module) -> list[int]:
    """Of the pyramid's levels, by the dense head's prior generator, in pixels."""
    head = getattr(model, 'bbox_head', None) or getattr(model, 'rpn_head', None)
    strides = getattr(getattr(head, 'prior_generator', None), 'strides', ())
    return [stride[0] for stride in strides]


def _write(
    args: argparse.Namespace,
    cfg: Config,
    out: Path,
    found: Survey,
    pictures: Sequence[Picture],
    loader: DataLoader,
) -> list[Path]:
    """Write everything; returns the files, the one to open first at the beginning."""
    os.makedirs(out, exist_ok=True)
    classes = loader.dataset.metainfo['classes']
    for picture in pictures:
        picture.save(out)
    worst_of = {
        'worst_labels': found.annotated,
        'unannotated': found.unannotated,
        'badly_placed': found.badly_placed,
        'unseen': found.unseen,
    }
    source, folder = _source(cfg, args.split)
    files = [out / 'report.html']
    galleries = []
    headings = (ANNOTATED, UNANNOTATED, BADLY_PLACED, UNSEEN)
    for heading, (name, suspects) in zip(headings, worst_of.items()):
        files.append(out / f'{name}.json')
        # correct_labels tells the lists by it
        content = {'info': {'list': name}, **coco_of_suspects(suspects, classes, source, folder)}
        files[-1].write_text(json.dumps(content, indent=1))
        ids = [each['id'] for each in content['annotations']]
        galleries.append(gallery(heading, ids, suspects))
    facts = {
        'config': Path(args.config).name,
        'checkpoint': Path(args.checkpoint).name,
        'data': f'{args.split}, {found.images} images, {found.objects} objects',
    }
    write_report(
        files[0],
        title=f'What {Path(args.config).stem} sees',
        facts=facts,
        pictures=pictures,
        galleries=galleries,
        classes=classes,
        config=cfg.pretty_text,
    )
    return [*files, *sorted(out.glob('*.png'))]


def gallery(
    heading: tuple[str, str], ids: Sequence[int | str], suspects: Sequence[Suspect]
) -> Gallery:
    """The start of a list, of labels without those for which the model sees no other class."""
    is_of_labels = heading is ANNOTATED
    # where it sees nothing, g is 0.5 and the order that of the file
    shown = (pair for pair in zip(ids, suspects) if is_seen(pair[1]) or not is_of_labels)
    return Gallery(*heading, [*islice(shown, SHOWN)], 'g' if is_of_labels else 'score')


def _source(cfg: Config, split: str) -> tuple[dict | None, str]:
    """Content of the data set's COCO file and its folder of images, where it is a single one."""
    (_, leaf), *others = leaf_datasets(cfg[f'{split}_dataloader'].dataset, 'dataset')
    path = os.path.join(leaf.get('data_root') or '', leaf.get('ann_file', ''))
    folder = leaf.get('data_prefix', {}).get('img', '')
    folder = os.path.join(leaf.get('data_root') or '', folder)
    if others or not path.endswith('.json') or not os.path.isfile(path):
        return None, folder
    return json.loads(Path(path).read_bytes()), folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add_config(parser)
    add_trust(parser)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='checkpoint file')
    parser.add_argument(
        '--split', choices=SPLITS, default='train', help='which data set; default: train'
    )
    parser.add_argument('--images', type=int, help='at most so many images; default: all')
    parser.add_argument(
        '--worst',
        type=int,
        default=50,
        help=f'length of each of the four lists, of which the page shows {SHOWN}; default: 50',
    )
    parser.add_argument(
        '--per-class', action='store_true', help='draw the positives of each class too'
    )
    parser.add_argument(
        '--mu', type=float, default=0.02, help='of gr, for box losses without one; default: 0.02'
    )
    parser.add_argument(
        '--out',
        help='folder for the report, new or empty; '
        'default: work_dirs/<name of the config>/gradients_<name of the checkpoint>',
    )
    return parser


if __name__ == '__main__':
    main()
