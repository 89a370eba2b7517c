"""The losses as functions: those of the registered classes, and in torch alone."""

import pytest
import torch

from ghm_mmdet.functional import ExactDensity, UnitRegionDensity, ghm_c, ghm_r, harmonized_loss
from ghm_mmdet.losses import GHMCLoss, GHMRLoss
from ghm_mmdet.method.criteria import ProbabilityCrossEntropy
from tests.back_ends import NEEDS_TORCH_2_8
from tests.losses.kinds import KINDS, WIDTH
from tests.setup.sites import make_site, run_in_site

TRAIN_A_CLASSIFIER = """
import sys, torch
from ghm_mmdet.functional import UnitRegionDensity, ghm_c

torch.manual_seed(0)
features, labels = torch.randn(400, 8), torch.arange(400) % 3
features[range(400), labels] += 3
model = torch.nn.Linear(8, 3)
density = UnitRegionDensity(10, momentum=0.75)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
losses = []
for _ in range(30):
    optimizer.zero_grad()
    losses.append(ghm_c(model(features), labels, density=density, use_sigmoid=False))
    losses[-1].backward()
    optimizer.step()
accuracy = (model(features).argmax(1) == labels).float().mean()
assert density.moving_average.sum() > 0
assert not {name.split('.')[0] for name in sys.modules} & {'mmengine', 'mmcv', 'mmdet'}
print(float(accuracy))
"""


def called(function, prediction, arguments, **options):
    prediction = prediction.clone().requires_grad_()
    value = function(prediction, *arguments, **options)
    value.backward()
    return value.detach(), prediction.grad


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize(
    'kind', ['labels', 'labels and weight', 'labels and score', 'values', 'boxes']
)
@pytest.mark.parametrize('density', ['mmdet', 'paper', 'exact'])
def test_a_function_is_the_loss_of_its_class(kind, density, reduction, backend):
    if density == 'exact':
        module = ExactDensity(1 / 10, momentum=0.5)
    else:
        module = UnitRegionDensity(10, density, momentum=0.5)
    loss = KINDS[kind].make(bins=10, momentum=0.5, density=density, reduction=reduction)
    function = ghm_r if kind == 'boxes' else ghm_c
    for seed in range(2):
        prediction, arguments = KINDS[kind].call(60, seed)
        options = dict(density=module, reduction=reduction)
        expected = called(loss, prediction, arguments)
        torch.testing.assert_close(
            called(function, prediction, arguments, **options), expected, rtol=0, atol=0
        )
    assert torch.equal(module.moving_average, loss.density.moving_average)


def test_a_number_of_bins_is_a_density_without_an_average():
    prediction, (labels,) = KINDS['labels'].call(60)
    expected = GHMCLoss(use_sigmoid=True, bins=30, balance='small-data')(prediction, labels)
    torch.testing.assert_close(ghm_c(prediction, labels, balance='small-data'), expected)
    target = torch.rand_like(prediction)
    torch.testing.assert_close(
        ghm_r(prediction, target, mu=0.3), GHMRLoss(mu=0.3, bins=10)(prediction, target)
    )


def test_the_average_changes_in_training_only():
    density = UnitRegionDensity(10, momentum=0.5)
    prediction, (labels,) = KINDS['labels'].call(60)
    with torch.no_grad():
        ghm_c(prediction, labels, density=density)
    density.eval()
    ghm_c(prediction, labels, density=density)
    assert not density.moving_average.any()
    density.train()
    ghm_c(prediction, labels, density=density)
    assert density.moving_average.any()


def test_any_criterion():
    probability = torch.rand(20, WIDTH)
    target = torch.rand(20, WIDTH).round()
    value = harmonized_loss(ProbabilityCrossEntropy(), probability, target, None, 10)
    expected = GHMCLoss(use_sigmoid=True, activated=True)(probability, target)
    torch.testing.assert_close(value, expected)


def test_bad_targets_are_refused():
    with pytest.raises(ValueError, match=r'^target: 2 labels outside the range, must be in'):
        ghm_c(torch.zeros(4, 3), torch.tensor([0, 4, -1, 3]))


def test_a_classifier_trains_where_openmmlab_is_not_installed(tmp_path):
    hidden = ('mmengine*', 'mmcv*', 'mmdet*', 'onedl*')
    site = make_site(tmp_path / 'site', hidden)
    done = run_in_site(site, '-c', TRAIN_A_CLASSIFIER)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 0.9


def softmax(*arguments):
    return ghm_c(*arguments, use_sigmoid=False)


def boxes(*arguments):
    return ghm_r(*arguments, mu=0.123)  # of which no criterion has been made before


@NEEDS_TORCH_2_8
@pytest.mark.parametrize('function', [ghm_c, softmax, boxes])
def test_a_graph_is_the_function(function):
    prediction, (labels,) = KINDS['labels'].call(60)
    target = torch.zeros_like(prediction) if function is boxes else labels.clamp(max=WIDTH - 1)
    graph = torch.compile(function, backend='aot_eager', fullgraph=True)
    found = called(graph, prediction, (target,))
    torch.testing.assert_close(found, called(function, prediction, (target,)))


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x, y: ghm_c(x, y, density=0), 'bins=0: must be an integer'),
        (lambda x, y: ghm_c(x, y, density='exact'), "bins='exact': must be an integer"),
        (lambda x, y: ghm_c(x, y[:7]), 'target of shape'),
        (lambda x, y: ghm_c(x, (y, x[:3, 0])), 'score of shape'),
        (lambda x, y: ghm_c(x, y, torch.ones(3)), 'weight of shape'),
        (lambda x, y: ghm_c(x, y, use_sigmoid='x'), "use_sigmoid='x': must be"),
        (lambda x, y: ghm_r(x, y), 'target of shape'),
        (lambda x, y: ghm_r(x, x, density=ExactDensity(30)), 'epsilon=30: must be'),
        (lambda x, y: ghm_r(x, x, density=UnitRegionDensity(5, momentum=1)), 'momentum=1: must'),
        (
            lambda x, y: ghm_r(x, x, density=ExactDensity(0.1), balance='small-data'),
            "balance.outliers='keep': must be 'damp'",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_line(call, message):
    prediction, (labels,) = KINDS['labels'].call(20)
    with pytest.raises(ValueError, match='must') as error:
        call(prediction, labels)
    assert str(error.value).startswith(message)
    assert '\n' not in str(error.value)


def test_a_second_derivative_is_refused():
    prediction, arguments = KINDS['labels'].call(20)
    prediction.requires_grad_()
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(ghm_c(prediction, *arguments), prediction, create_graph=True)
