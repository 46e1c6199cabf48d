"""A convolution with a frozen norm gives what both give one after the other, with the same gradients."""

import copy

import pytest
import torch
from torch import nn
from transformers.models.resnet.modeling_resnet import ResNetConvLayer

from lexiseg.encoders.segmenters.folded_norms import ConvNorm
from lexiseg.encoders.segmenters.mask2former import freeze_batch_norm
from tiny import seeded


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("is_half", [False, True])
def test_values_and_gradients_are_those_of_the_two(size: int, stride: int, is_half: bool) -> None:
    plain = seeded(nn.Sequential(ResNetConvLayer(8, 16, size, stride), ResNetConvLayer(16, 8, size, stride)))
    freeze_batch_norm(plain)
    folded = copy.deepcopy(plain)
    for name, part in plain.named_children():
        assert isinstance(part, ResNetConvLayer)
        folded.register_module(name, ConvNorm(copy.deepcopy(part)))
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(2, 8, 12, 12, generator=rng)

    found = []
    for network in (plain, folded):
        given = features.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            out = network(given)
        (out.float() * torch.linspace(0, 1, out.numel()).view_as(out)).sum().backward()
        found.append([out.float(), given.grad, *(p.grad for p in network.parameters() if p.requires_grad)])

    assert len(found[0]) == 4
    for one, other in zip(*found, strict=True):  # as a whole: rounding turns a ReLU on or off
        assert one is not None
        assert (other - one).norm() < (0.1 if is_half else 1e-4) * one.norm()
    assert folded.state_dict().keys() == plain.state_dict().keys()
