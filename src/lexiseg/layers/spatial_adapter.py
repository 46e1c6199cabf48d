"""The spatial adapter: CLIP's attention pool made dense, so that every cell lies in the joint space."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Positions = Literal["drop", "resize"]


class SpatialAdapter(nn.Module):
    """One frozen 1x1 convolution in place of the attention pool (OPSNet, section 3.2).

    With attention weights that sum to one, the pool returns sum_j a_j (W_c W_v x_j + W_c b_v + b_c): a weighted mean
    of one linear map of the cells. That map, W_c W_v and W_c b_v + b_c, is folded into one convolution; query and key
    projections fall away.
    """

    def __init__(self, feature_dim: int, embed_dim: int, *, positions: Positions = "drop") -> None:
        super().__init__()
        self.positions: Positions = positions
        self.weight = nn.Parameter(torch.zeros(embed_dim, feature_dim), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(embed_dim), requires_grad=False)

    @torch.no_grad()
    def fold(self, v_proj: nn.Linear, c_proj: nn.Linear) -> None:
        """Takes its weights from an attention pool's value and output projections."""
        assert v_proj.bias is not None
        assert c_proj.bias is not None
        self.weight.copy_(c_proj.weight.double() @ v_proj.weight.double())
        self.bias.copy_(c_proj.weight.double() @ v_proj.bias.double() + c_proj.bias.double())

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
