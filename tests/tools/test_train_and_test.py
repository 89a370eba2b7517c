"""Training, resuming and evaluating through the tools, on one process and on two CPU ranks."""

import contextlib
import io
import json
import pickle
from pathlib import Path

import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ghm_mmdet.cli import check_data
from ghm_mmdet.cli import test as test_tool
from ghm_mmdet.cli.config import ConfigError, load_config
from ghm_mmdet.cli.launch import runner
from ghm_mmdet.cli.test import write_no_metrics
from ghm_mmdet.mm_patches import SAFE_ONLY, UNSAFE_TOO

REPOSITORY = Path(__file__).resolve().parents[2]


PUBLISHED = REPOSITORY / 'configs' / 'ghm' / 'retinanet_r50_fpn_ghm-1x_coco.py'
NO_GPU = {'CUDA_VISIBLE_DEVICES': ''}


def succeeded(done):
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def scalars(work_dir):
    """What the newest run in a work dir logged, entry by entry."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in newest.read_text().splitlines()]


def metrics(work_dir):
    """The COCO metrics that the newest test run in a work dir wrote."""
    (path,) = max(work_dir.glob('2*'), key=lambda folder: folder.name).glob('*.json')
    logged = json.loads(path.read_text())
    return {name: value for name, value in logged.items() if name.startswith('coco/')}


def coco_ap(ann_file, results):
    """COCO's mAP of dumped detections, by pycocotools alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(ann_file))
        detections = []
        for result in results:
            found = result['pred_instances']
            corners = found['bboxes'].tolist()
            for (x1, y1, x2, y2), score, label in zip(
                corners, found['scores'].tolist(), found['labels'].tolist()
            ):
                detections.append(
                    {
                        'image_id': result['img_id'],
                        'bbox': [x1, y1, x2 - x1, y2 - y1],
                        'score': score,
                        'category_id': sorted(truth.cats)[label],
                    }
                )
        evaluation = COCOeval(truth, truth.loadRes(detections), 'bbox')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_published_config_trains_and_is_evaluated_on_coco_images(data_folder, run_here, tmp_path):
    coco = data_folder('tiny_coco')
    options = [
        '--cfg-options',
        'model.backbone.init_cfg=None',
        'model.test_cfg.score_thr=0.0',
        'optim_wrapper.optimizer.lr=0.001',
        'train_cfg.max_epochs=1',
        *('val_cfg=None', 'val_dataloader=None', 'val_evaluator=None'),
        'train_dataloader.dataset.indices=4',
        'train_dataloader.dataset.pipeline.2.scale=(192,128)',
        'test_dataloader.dataset.pipeline.1.scale=(192,128)',
        'test_dataloader.dataset.indices=10',
        'default_hooks.checkpoint.save_optimizer=False',
        'default_hooks.logger.interval=1',
    ]
    for split in ('train', 'test'):
        options.append(f'{split}_dataloader.dataset.data_root={coco}/')
        options.append(f'{split}_dataloader.num_workers=0')
        options.append(f'{split}_dataloader.persistent_workers=False')
    ann_file = coco / 'annotations' / 'instances_val2017.json'
    options.append(f'test_evaluator.ann_file={ann_file}')

    assert run_here('train.py', PUBLISHED, *options) is None
    work_dir = tmp_path / 'work_dirs' / PUBLISHED.stem
    losses = [entry['loss'] for entry in scalars(work_dir)]
    assert len(losses) == 2
    assert all(0 < loss < float('inf') for loss in losses)

    out = tmp_path / 'detections.pkl'
    checkpoint = work_dir / 'epoch_1.pth'
    assert run_here('test.py', PUBLISHED, checkpoint, '--out', out, *options) is None
    results = pickle.loads(out.read_bytes())
    assert len(results) == 10
    assert metrics(work_dir)['coco/bbox_mAP'] == pytest.approx(coco_ap(ann_file, results), abs=5e-4)


@pytest.mark.long
def test_two_ranks_train_one_resumes_and_both_evaluate_alike(
    small_config, run_tool, run_here, tmp_path
):
    succeeded(
        run_tool('dist_train.sh', small_config, 2, '--work-dir', 'run', PORT='29611', **NO_GPU)
    )
    run = tmp_path / 'run'
    first = torch.load(run / 'epoch_1.pth', weights_only=False)
    # Eight images, four in a batch, two ranks: one iteration.
    assert first['meta']['iter'] == 1

    longer = ['--cfg-options', 'train_cfg.max_epochs=2']
    assert run_here('train.py', small_config, '--work-dir', 'run', '--resume', *longer) is None
    second = torch.load(run / 'epoch_2.pth', weights_only=False)
    # One iteration was there; an epoch on one rank has two.
    assert (second['meta']['epoch'], second['meta']['iter']) == (2, 3)

    test = (small_config, 'run/epoch_2.pth')
    # in a process of its own: MMEngine's hook draws with the visualizer that was made first
    succeeded(run_tool('test.py', *test, '--work-dir', 'one', '--show-dir', 'pictures'))
    succeeded(run_tool('dist_test.sh', *test, 2, '--work-dir', 'two', PORT='29612', **NO_GPU))
    assert metrics(tmp_path / 'one') == pytest.approx(metrics(tmp_path / 'two'))
    assert len(list((tmp_path / 'one').glob('*/pictures/*.png'))) == 8


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (('RBC', 'WBC', 'Platelets'), None),
        (('WBC', 'RBC', 'Platelets'), "label 0 is 'RBC', and 'WBC' in checkpoint; must be in"),
        (('red', 'WBC', 'Platelets'), "label 0 is 'RBC', and 'red' in checkpoint; is it the same"),
        (('RBC', 'WBC'), None),
    ],
)
@pytest.mark.parametrize('joined', [False, True])
def test_classes_of_a_checkpoint(classes, message, joined, small_config, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(check_data, 'print_log', lambda text, *_: said.append(text))
    monkeypatch.chdir(tmp_path)
    for name in (SAFE_ONLY, UNSAFE_TOO, 'LOCAL_RANK'):
        monkeypatch.setenv(name, '0')
    # a list is what joined data sets leave
    meta = [dict(classes=classes)] if joined else dict(classes=classes)
    torch.save(dict(state_dict={}, meta=dict(dataset_meta=meta)), 'model.pth')
    args = test_tool._parser().parse_args([str(small_config), 'model.pth'])
    try:
        test_tool.prepare(args)
    except ConfigError as error:
        said.append(str(error))
    assert any(message in line for line in said) if message else not said


@pytest.mark.long
def test_a_flexible_runner_trains_resumes_and_tests(small_config, run_tool, tmp_path):
    path = tmp_path / 'flexible.py'
    path.write_text(
        f"_base_ = {str(small_config)!r}\nrunner_type = 'FlexibleRunner'\n"
        "strategy = dict(type='SingleDeviceStrategy')\nrandomness = dict(seed=3)\n"
    )
    longer = ['--cfg-options', 'train_cfg.max_epochs=2']
    succeeded(run_tool('train.py', path, '--work-dir', 'whole', *longer))
    succeeded(run_tool('train.py', path, '--work-dir', 'cut'))
    succeeded(run_tool('train.py', path, '--work-dir', 'cut', '--resume', *longer))
    succeeded(run_tool('test.py', path, 'cut/epoch_2.pth', '--work-dir', 'test'))
    whole, cut = (
        torch.load(tmp_path / run / 'epoch_2.pth', weights_only=False)['state_dict']
        for run in ('whole', 'cut')
    )
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.long
def test_a_flexible_runner_has_no_ranks_on_cpus(small_config, run_tool, tmp_path):
    done = run_tool(
        *('dist_train.sh', small_config, 2, '--work-dir', 'run'),
        *('--cfg-options', 'runner_type=FlexibleRunner'),
        PORT='29614',
        **NO_GPU,
    )
    assert done.returncode != 0
    assert "error: --launcher pytorch: runner_type='FlexibleRunner' has ranks on" in done.stderr


def test_broken_data_ends_all_ranks_with_one_line(small_config, coco_folder, run_tool):
    (coco_folder / 'images' / '3.png').unlink()
    done = run_tool('dist_train.sh', small_config, 2, '--work-dir', 'run', PORT='29613', **NO_GPU)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count('error: ') == 1
    assert 'images are missing' in done.stderr


def test_only_one_rank_writes_the_metrics_of_a_test(small_config):
    cfg = load_config(str(small_config))
    cfg.work_dir = str(small_config.parent / 'work')
    cfg.log_level, cfg.launcher = 'ERROR', 'none'
    with runner(cfg) as tester:
        before = len(tester.hooks)
        write_no_metrics(tester)
        assert not any(hasattr(hook, 'json_log_path') for hook in tester.hooks)
        assert len(tester.hooks) == before - 1
