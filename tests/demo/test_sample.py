"""The sample data set: deterministic, readable as COCO, and honest about its planted errors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from demo import make_sample_dataset as make_sample_dataset_tool
from demo.long_tail import long_tail
from demo.planted_errors import plant_errors
from demo.sample import SampleSettings, make_sample_dataset
from demo.sample_parts import CLASSES, Patch
from demo.sample_scene import MIN_VISIBLE, Canvas, draw_scene, visible_box

ROOT = Path(__file__).parents[2]
SMALL = SampleSettings(train=40, val=8, size=96)


@pytest.fixture(scope='module')
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('clean')
    make_sample_dataset(out, SMALL)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def train_annotations(folder: Path) -> dict:
    return json.loads((folder / 'annotations/instances_train.json').read_text())


def test_same_seed_gives_the_same_bytes(clean: Path, tmp_path: Path) -> None:
    make_sample_dataset(tmp_path / 'again', SMALL)
    assert contents(tmp_path / 'again') == contents(clean)


def test_other_seed_gives_other_pictures(clean: Path, tmp_path: Path) -> None:
    make_sample_dataset(tmp_path / 'other', replace(SMALL, seed=1, train=1))
    name = 'train/000001.jpg'
    assert (tmp_path / 'other' / name).read_bytes() != (clean / name).read_bytes()


def test_a_longer_split_starts_with_the_shorter_one(clean: Path, tmp_path: Path) -> None:
    make_sample_dataset(tmp_path / 'short', replace(SMALL, train=3))
    short, long = contents(tmp_path / 'short'), contents(clean)
    images = [name for name in short if name.endswith('.jpg')]
    assert len(images) == 3 + SMALL.val
    assert all(short[name] == long[name] for name in images)


def test_noise_changes_only_the_training_annotations(clean: Path, tmp_path: Path) -> None:
    noisy = tmp_path / 'noisy'
    make_sample_dataset(noisy, replace(SMALL, label_noise=0.3, missing=0.2))
    before, after = contents(clean), contents(noisy)
    differing = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert differing == {'annotations/instances_train.json', 'sample_dataset.json'}


@pytest.mark.parametrize(('label_noise', 'missing'), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2), (1, 0)])
def test_the_record_undoes_the_planted_errors(
    clean: Path, tmp_path: Path, label_noise: float, missing: float
) -> None:
    noisy = tmp_path / 'noisy'
    settings = replace(SMALL, label_noise=label_noise, missing=missing)
    summary = make_sample_dataset(noisy, settings)
    found, truth = train_annotations(noisy), train_annotations(clean)

    wrong = [ann for ann in found['annotations'] if 'true_category_id' in ann]
    assert all(ann['category_id'] != ann['true_category_id'] for ann in wrong)
    repaired = [
        {key: ann[key] for key in ann if key != 'true_category_id'}
        | {'category_id': ann.get('true_category_id', ann['category_id'])}
        for ann in found['annotations']
    ] + found['missing_annotations']
    assert sorted(repaired, key=lambda ann: ann['id']) == truth['annotations']

    objects = sum(not ann['iscrowd'] for ann in truth['annotations'])
    assert summary.mislabelled == len(wrong) == round(label_noise * objects)
    assert summary.missing == len(found['missing_annotations']) == round(missing * objects)


def test_more_noise_keeps_the_errors_of_less() -> None:
    truth = [{'id': i, 'category_id': i % 5 + 1, 'iscrowd': 0} for i in range(200)]

    def errors(label_noise: float, missing: float) -> tuple[set, set]:
        rng = np.random.default_rng(3)
        kept, left_out = plant_errors(truth, [1, 2, 3, 4, 5], label_noise, missing, rng)
        wrong = {(a['id'], a['category_id']) for a in kept if 'true_category_id' in a}
        return wrong, {ann['id'] for ann in left_out}

    few_wrong, few_missing = errors(0.1, 0.05)
    many_wrong, many_missing = errors(0.4, 0.3)
    assert few_wrong < many_wrong
    assert few_missing < many_missing
    assert len({label for _, label in many_wrong}) == 5


def test_a_long_tail_turns_objects_of_rare_classes_into_crowds(clean: Path, tmp_path: Path) -> None:
    make_sample_dataset(tmp_path / 'tail', replace(SMALL, long_tail=4.0))
    before, after = contents(clean), contents(tmp_path / 'tail')
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {'annotations/instances_train.json', 'sample_dataset.json'}
    truth, found = (train_annotations(each)['annotations'] for each in (clean, tmp_path / 'tail'))
    made_crowds = [old for old, new in zip(truth, found) if {**old, 'iscrowd': 1} == new != old]
    assert len(made_crowds) == sum(old != new for old, new in zip(truth, found))
    kept = [
        sum(each['category_id'] == label and not each['iscrowd'] for each in found)
        for label in range(1, len(CLASSES) + 1)
    ]
    objects = [
        sum(each['category_id'] == label and not each['iscrowd'] for each in truth)
        for label in range(1, len(CLASSES) + 1)
    ]
    shares = [1, 4**-0.25, 4**-0.5, 4**-0.75, 1 / 4]
    assert kept == [round(share * count) for share, count in zip(shares, objects)]


def test_a_longer_tail_keeps_no_object_that_a_shorter_one_does_not() -> None:
    truth = [{'category_id': i % 3, 'iscrowd': 0} for i in range(300)]

    def kept(ratio: float) -> set[int]:
        tail = long_tail(truth, [0, 1, 2], ratio, np.random.default_rng(3))
        return {place for place, each in enumerate(tail) if not each['iscrowd']}

    assert kept(1000) < kept(20) < kept(5) < kept(1) == set(range(300))
    assert {truth[place]['category_id'] for place in kept(1000)} == {0, 1, 2}


def test_the_set_has_what_makes_detection_hard(clean: Path) -> None:
    content = train_annotations(clean)
    annotations = content['annotations']
    sides = [max(ann['bbox'][2:]) for ann in annotations if not ann['iscrowd']]
    assert {ann['category_id'] for ann in annotations} == {c['id'] for c in content['categories']}
    assert {ann['image_id'] for ann in annotations} < {image['id'] for image in content['images']}
    assert any(ann['iscrowd'] and not ann.get('ignore') for ann in annotations)
    assert any(ann.get('ignore') for ann in annotations)
    assert max(sides) > 2 * min(sides)


def test_boxes_lie_inside_their_image(clean: Path) -> None:
    boxes = np.array([ann['bbox'] for ann in train_annotations(clean)['annotations']])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= SMALL.size).all()


def test_a_perfect_detector_scores_one(clean: Path) -> None:
    """Crowds and ignored regions need not be found: pycocotools itself is the judge."""
    truth = COCO(str(clean / 'annotations/instances_train.json'))
    found = [
        {**{key: ann[key] for key in ('image_id', 'category_id', 'bbox')}, 'score': 1.0}
        for ann in truth.anns.values()
        if not ann['iscrowd']
    ]
    evaluation = COCOeval(truth, truth.loadRes(found), 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_mmdet_reads_it(clean: Path) -> None:
    """Ignored regions are dropped and crowds are flagged; empty images stay."""
    from mmdet.datasets import CocoDataset

    data = CocoDataset(
        ann_file='annotations/instances_train.json',
        data_root=str(clean),
        data_prefix={'img': 'train'},
        metainfo={'classes': CLASSES},
        filter_cfg={'filter_empty_gt': False},
    )
    annotations = train_annotations(clean)['annotations']
    expected = [bool(a['iscrowd']) for a in annotations if not a.get('ignore')]
    instances = [one for i in range(len(data)) for one in data.get_data_info(i)['instances']]
    assert len(data) == SMALL.train
    assert [bool(one['ignore_flag']) for one in instances] == expected


@pytest.mark.parametrize('config', sorted((ROOT / 'configs/sample').glob('*.py')), ids=str)
def test_configs_name_the_classes_in_order(config: Path) -> None:
    loaded = Config.fromfile(config, import_custom_modules=False)
    assert tuple(loaded.metainfo.classes) == CLASSES
    assert loaded.model.bbox_head.num_classes == len(CLASSES)


def flat_patch(side: int) -> Patch:
    return Patch(np.ones((side, side), np.float32), np.zeros((side, side, 3), np.float32))


def empty_canvas(size: int) -> Canvas:
    image = np.full((size, size, 3), 128, np.float32)
    return Canvas(image, np.full((size, size), -1, np.int32), np.array([0.0, 1.0]))


def test_no_object_is_hidden_too_much() -> None:
    canvas = empty_canvas(100)
    assert canvas.paste(flat_patch(20), np.array([50, 50]), 0)
    before = canvas.image.copy()
    assert not canvas.paste(flat_patch(40), np.array([50, 50]), -1)
    assert not canvas.paste(flat_patch(40), np.array([0, 0]), 1)
    assert np.array_equal(canvas.image, before)


def test_the_box_is_that_of_the_visible_part() -> None:
    canvas = empty_canvas(100)
    assert canvas.paste(flat_patch(40), np.array([40, 50]), 0)
    assert canvas.paste(flat_patch(40), np.array([77, 50]), 1)
    assert visible_box(canvas.owner == 0) == (30, 20, 40, 37)
    assert visible_box(canvas.owner == 1) == (30, 57, 40, 40)
    assert (canvas.owner == 0).sum() >= MIN_VISIBLE * canvas.areas[0]


@pytest.mark.parametrize('size', [64, 193])
def test_any_size_can_be_drawn(size: int) -> None:
    image, instances = draw_scene(np.random.default_rng(0), size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert all(0 <= instance.label < len(CLASSES) for instance in instances)


def test_a_folder_of_the_user_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'photo.jpg').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty'):
        make_sample_dataset(tmp_path, SMALL)
    assert contents(tmp_path) == {'photo.jpg': b'mine'}


def test_the_same_settings_are_skipped_and_others_refused(tmp_path: Path) -> None:
    settings = replace(SMALL, train=2, val=1)
    assert not make_sample_dataset(tmp_path / 'a', settings).already_there
    before = contents(tmp_path)
    assert make_sample_dataset(tmp_path / 'a', settings).already_there
    with pytest.raises(FileExistsError, match='label_noise'):
        make_sample_dataset(tmp_path / 'a', replace(settings, label_noise=0.5))
    assert contents(tmp_path) == before


@pytest.mark.parametrize('lost', ['train/000001.jpg', 'annotations/instances_val.json'])
def test_an_incomplete_folder_is_refused(tmp_path: Path, lost: str) -> None:
    settings = replace(SMALL, train=2, val=1)
    make_sample_dataset(tmp_path / 'a', settings)
    (tmp_path / 'a' / lost).unlink()
    with pytest.raises(FileExistsError, match='incomplete'):
        make_sample_dataset(tmp_path / 'a', settings)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('demo.sample.plant_errors', interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_sample_dataset(tmp_path / 'a', replace(SMALL, train=2, val=1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('--train', '0'),
        ('--val', '-3'),
        ('--size', '16'),
        ('--seed', '-1'),
        ('--label-noise', '1.5'),
        ('--missing', 'nan'),
        ('--missing', 'many'),
    ],
)
def test_a_bad_argument_gets_one_line(
    tmp_path: Path,
    argument: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        sys, 'argv', ['make_sample_dataset', str(tmp_path / 'out'), argument, value]
    )
    with pytest.raises(SystemExit) as ended:
        make_sample_dataset_tool.main()
    # a text as its code is what Python prints, with status 1
    code = ended.value.code
    assert code
    check_line(capsys.readouterr().err + (code if isinstance(code, str) else ''), argument, value)
    assert not list(tmp_path.iterdir())


def test_the_command_gets_one_line_too(tmp_path: Path) -> None:
    """In a process of its own, where every import can print."""
    command = [sys.executable, '-m', 'demo.make_sample_dataset', tmp_path / 'out']
    done = subprocess.run(
        [*command, '--label-noise', '1.5'],
        capture_output=True,
        text=True,
        env={'PYTHONPATH': str(ROOT)},
        check=False,
    )
    assert done.returncode == 1
    check_line(done.stderr, '--label-noise', '1.5')
    assert not list(tmp_path.iterdir())


def check_line(said: str, argument: str, value: str) -> None:
    assert len(said.strip().splitlines()) == 1
    assert argument.strip('-').replace('-', '_') in said.replace('-', '_')
    assert value in said
