"""Frozen batch norms of transformers' ResNets, folded into the convolutions before them while these are trained."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut


class ConvNorm(nn.Module):
    """A convolution, its batch norm and what follows, under the names that transformers has for them.

    A norm of its own would keep the convolution's whole output for the backward pass, which nothing else reads.
    """

    def __init__(self, layer: ResNetConvLayer | ResNetShortCut) -> None:
        super().__init__()
        self.convolution, self.normalization = layer.convolution, layer.normalization
        self.activation = layer.activation if isinstance(layer, ResNetConvLayer) else nn.Identity()

    def forward(self, features: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The next features; only a frozen norm is folded, and only where gradients are computed."""
        conv, norm = self.convolution, self.normalization
        is_frozen = not (norm.training or norm.weight.requires_grad or norm.bias.requires_grad)
        if not is_frozen or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.activation(norm(conv(features)))
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias - norm.running_mean * scale
        scale = scale[:, None, None, None]
        return self.activation(_FoldedConv.apply(features, conv.weight, scale, shift, conv.stride, conv.padding))


class _FoldedConv(torch.autograd.Function):
    """A convolution by a scaled weight, which is scaled again in the backward pass instead of kept."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, stride: Any, padding: Any
    ) -> Tensor:
        """The convolution, also under autocast."""
        ctx.save_for_backward(features, weight, scale)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(features, weight * scale, shift, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients of features and weight."""
        features, weight, scale = ctx.saved_tensors
        (gradient,) = gradients
        of_features = of_weight = None
        if ctx.needs_input_grad[0]:
            folded = (weight * scale).to(gradient.dtype)
            of_features = conv2d_input(features.shape, folded, gradient, ctx.stride, ctx.padding).to(features.dtype)
        if ctx.needs_input_grad[1]:
            seen = features.to(gradient.dtype)
            of_weight = scale * conv2d_weight(seen, weight.shape, gradient, ctx.stride, ctx.padding).to(weight.dtype)
        return of_features, of_weight, None, None, None, None


def fold_norms(backbone: nn.Module) -> None:
    """Puts `ConvNorm` in the place of every convolution with a norm, and lets activations overwrite what they read."""
    for parent in list(backbone.modules()):
        for name, part in parent.named_children():
            if isinstance(part, ResNetConvLayer | ResNetShortCut):
                parent.register_module(name, ConvNorm(part))
    for part in backbone.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = True
