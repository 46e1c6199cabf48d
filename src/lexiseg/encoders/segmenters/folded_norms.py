"""Frozen batch norms of transformers' ResNets, folded into the convolutions before them."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut


class ConvNorm(nn.Module):
    """A convolution, its batch norm and what follows, under the names that transformers has for them.

    In training the norm is folded anew in every step, as the convolution's weight is still what is learned: a norm of
    its own would keep the convolution's whole output for the backward pass, which nothing else reads.
    """

    def __init__(self, layer: ResNetConvLayer | ResNetShortCut) -> None:
        super().__init__()
        self.convolution, self.normalization = layer.convolution, layer.normalization
        self.activation = layer.activation if isinstance(layer, ResNetConvLayer) else nn.Identity()

    def forward(self, features: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """The next features; a norm that is in training mode is not folded."""
        conv, norm = self.convolution, self.normalization
        if norm.training:
            return self.activation(norm(conv(features)))
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        with saved_tensors_hooks(
            lambda kept: None if kept.data_ptr() == weight.data_ptr() else kept,
            lambda kept: conv.weight.detach() * scale[:, None, None, None] if kept is None else kept,
        ):
            return self.activation(F.conv2d(features, weight, bias, conv.stride, conv.padding))


def fold_norms(backbone: nn.Module) -> None:
    """Puts `ConvNorm` in the place of every convolution with a norm, and lets activations overwrite what they read."""
    for parent in list(backbone.modules()):
        for name, part in parent.named_children():
            if isinstance(part, ResNetConvLayer | ResNetShortCut):
                parent.register_module(name, ConvNorm(part))
    for part in backbone.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = True
