"""studies.label_errors: data, losses and tables; cleanlab's rankings where it is installed."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from ghm_mmdet.cli.config import load_config
from studies.label_errors import CONFIG, KINDS, METHODS, make_data, tables
from studies.label_rankings import cleanlab_rankings, loss_rankings, report_rankings
from studies.loss_inspection import InspectedLosses, inspect_losses

BOX, OTHER, FREE = ([x, 10.0, x + 20, 30.0] for x in (10.0, 50.0, 90.0))


def seen(detections, losses=(0.0, 0.0)):
    """A picture with an object in BOX and one in OTHER, both of class 0."""
    sample = DetDataSample(
        metainfo=dict(img_id=7, img_path='7.jpg', ori_shape=(100, 120), scale_factor=(1.0, 1.0))
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([BOX, OTHER]), labels=torch.zeros(2, dtype=torch.int64)
    )
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([box for box, _, _ in detections]).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in detections], dtype=torch.int64),
        scores=torch.tensor([score for _, _, score in detections], dtype=torch.float32),
    )
    losses = torch.tensor(losses)
    free = (torch.tensor([FREE]), torch.tensor([0.7]), torch.tensor([1]))
    return [(sample, InspectedLosses(losses, 2 * losses, *free))]


def first(suspects):
    return max(suspects, key=lambda each: each.gradient_norm)


SCENE = [(BOX, 0, 0.99), (OTHER, 1, 0.98), (FREE, 1, 0.97)]


@pytest.mark.parametrize('method', [report_rankings, cleanlab_rankings, loss_rankings])
def test_each_method_names_a_swapped_label_and_a_missing_box(method):
    if method is cleanlab_rankings:
        pytest.importorskip('cleanlab')
    rankings = method(seen(SCENE, (0.1, 0.9)), 3)
    assert set(rankings) == set(KINDS)
    assert first(rankings['swapped']).box == pytest.approx(OTHER)
    assert first(rankings['missing']).box == pytest.approx(FREE)
    assert first(rankings['missing']).believed == 1


@pytest.mark.parametrize('method', [report_rankings, cleanlab_rankings])
def test_each_method_names_a_shifted_box(method):
    if method is cleanlab_rankings:
        pytest.importorskip('cleanlab')
    beside = [58.0, 10.0, 78.0, 30.0]
    rankings = method(seen([(BOX, 0, 0.99), (beside, 0, 0.98)]), 3)
    assert first(rankings['shifted']).box == pytest.approx(OTHER)


def test_low_scores_count_for_cleanlab_from_its_thresholds_on():
    pytest.importorskip('cleanlab')
    scene = seen([(OTHER, 1, 0.6)])
    assert first(cleanlab_rankings(scene, 3)['swapped']).gradient_norm == 0
    assert first(cleanlab_rankings(scene, 3, 0.5, 0.5)['swapped']).gradient_norm > 0.9


def test_losses_of_an_object_are_the_detectors_own():
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(load_config(str(CONFIG)).model)
    sample = DetDataSample(
        metainfo=dict(img_shape=(128, 128), pad_shape=(128, 128), scale_factor=(2.0, 2.0))
    )
    sample.gt_instances = InstanceData(bboxes=torch.tensor([BOX]), labels=torch.tensor([3]))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    # with one object the average over positive anchors is that over its anchors
    head = model.bbox_head.retina_cls
    torch.nn.init.zeros_(head.weight)
    bias = torch.tensor([0.0, -1.0, 2.0, 1.0, -3.0])
    head.bias.data = bias.repeat(model.bbox_head.num_base_priors)
    data = dict(inputs=torch.rand(1, 3, 128, 128), data_samples=[sample])
    model.eval()
    (losses,) = inspect_losses(model, data)
    own = model.loss(data['inputs'], data['data_samples'])
    assert losses.boxes.item() == pytest.approx(sum(own['loss_bbox']).item(), rel=1e-5)
    target = torch.nn.functional.one_hot(torch.tensor(3), 5)
    entropy = torch.nn.functional.softplus(bias) - bias * target
    assert losses.classification.item() == pytest.approx(entropy.sum().item(), rel=1e-5)
    assert set(losses.background_labels.tolist()) == {2}
    assert losses.background[:, 2:].max() <= 64  # pixels of the file, half as many as resized


@pytest.mark.long
def test_the_data_has_as_many_errors_of_each_kind(tmp_path):
    content = make_data(tmp_path / 'data', seed=0)
    kinds = ('true_category_id', 'true_bbox', 'bogus')
    counts = [sum(key in each for each in content['annotations']) for key in kinds]
    assert counts == [len(content['missing_annotations'])] * 3 and counts[0] > 100


def test_tables_have_means_deviations_and_paired_differences():
    def rows(method, *values):
        shares = [
            dict.fromkeys(('precision at 50', 'precision at 100', 'recall'), v) for v in values
        ]
        return [
            dict(seed=seed, checkpoint=checkpoint, method=method, kind=kind, **share)
            for seed, share in enumerate(shares)
            for checkpoint in ('early', 'last')
            for kind in KINDS
        ]

    others = [row for method in METHODS[1:] for row in rows(method, 0.5, 0.6)]
    text = tables([*rows('report', 0.8, 1.0), *others])
    assert '| report | 90.0 ± 14.1 |' in text
    assert '| report - cleanlab | 35.0 ± 5.0 |' in text
    assert text.count('| swapped |') == 6
