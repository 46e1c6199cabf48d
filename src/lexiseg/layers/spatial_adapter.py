"""The spatial adapter: CLIP's attention pool as a 1x1 convolution, which maps every cell to the joint space."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Positions = Literal["drop", "resize"]


def folded(v_proj: nn.Linear, c_proj: nn.Linear) -> tuple[Float[Tensor, "D F"], Float[Tensor, " D"]]:
    """Weight and bias of an attention pool's value and output projections, composed to one linear map.

    Multiplied in float64, to be exact in float32; returned in the weights' own type.
    """
    assert v_proj.bias is not None
    assert c_proj.bias is not None
    output = c_proj.weight.double()
    weight, bias = output @ v_proj.weight.double(), output @ v_proj.bias.double() + c_proj.bias.double()
    return weight.to(c_proj.weight.dtype), bias.to(c_proj.weight.dtype)


class SpatialAdapter(nn.Module):
    """One frozen 1x1 convolution in place of the attention pool (OPSNet, section 3.2).

    With attention weights that sum to one, the pool returns sum_j a_j (W_c W_v x_j + W_c b_v + b_c): a weighted mean
    of one linear map of the cells. That map, W_c W_v and W_c b_v + b_c, is folded into one convolution; query and key
    projections are dropped.
    """

    def __init__(self, feature_dim: int, embed_dim: int, *, positions: Positions = "drop") -> None:
        super().__init__()
        self.positions: Positions = positions
        self.weight = nn.Parameter(torch.zeros(embed_dim, feature_dim), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(embed_dim), requires_grad=False)

    @torch.no_grad()
    def fold(self, v_proj: nn.Linear, c_proj: nn.Linear) -> None:
        """Sets weight and bias from an attention pool's value and output projections."""
        weight, bias = folded(v_proj, c_proj)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    @torch.no_grad()
    def unfold(self, pool: nn.Module) -> None:
        """Sets the weights of an attention pool so that its fold is this adapter, with uniform attention.

        Queries, keys and positions, which the fold does not keep, become zero: the pool is the mean of the adapter's
        cells.

        Args:
            pool: CLIP's attention pool; its weights are overwritten.
        """
        for name, value in pool.named_parameters():
            value.zero_()
            if name == "v_proj.weight":
                value.fill_diagonal_(1)
            elif name.startswith("c_proj."):
                value.copy_(getattr(self, name.removeprefix("c_proj.")))

    def forward(
        self, features: Float[Tensor, "B F h w"], position_embed: Float[Tensor, "F h w"] | None = None
    ) -> Float[Tensor, "B D h w"]:
        """Maps CLIP's feature map to the joint space, cell by cell; not normalised.

        Args:
            features: the trunk's output.
            position_embed: the pool's position embedding at this map's size; used if `positions` is "resize".
        """
        if self.positions == "resize":
            assert position_embed is not None
            features = features + position_embed
        return F.conv2d(features, self.weight[:, :, None, None], self.bias)
