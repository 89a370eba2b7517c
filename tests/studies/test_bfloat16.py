"""Mixed precision of the fine-tuning study: products in bfloat16, weights in float32."""

import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

import studies.bfloat16  # noqa: F401


def test_computes_in_bfloat16_and_trains_in_float32():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    wrapper = OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer))
    before = model.weight.clone()
    x = torch.randn(8, 4)
    with wrapper.optim_context(model):
        out = model(x)
    assert out.dtype == torch.bfloat16 and model(x).dtype == torch.float32
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    expected = before - x.bfloat16().float().sum(0)
    torch.testing.assert_close(model.weight[0], expected[0], rtol=0.02, atol=0.02)
