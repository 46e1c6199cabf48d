"""Query enhancement: mask queries gather what frozen CLIP sees."""

from jaxtyping import Float
from torch import Tensor, nn

LEAST_WEIGHT = 1e-6
"""Of a cell outside the mask: its logarithm is a bias that all but closes the cell, and stays finite."""


class QueryEnhancer(nn.Module):
    """One cross-attention layer from the segmenter's queries to CLIP's map (OPSNet, section 3.2).

    It stands behind the decoder, on the classification path alone: masks come from the plain query. Residual and norm
    as in the decoder's own layers. Like every cross-attention of Mask2Former it is masked: a query looks where its own
    mask is, since neither it nor CLIP's cells carry a position by which it could find the place. Position, width and
    masking are not in the paper; the query's width keeps it small.
    """

    def __init__(self, query_dim: int, clip_dim: int, *, num_heads: int = 8, shares_projection: bool = True) -> None:
        """Builds the layer.

        Args:
            query_dim: C, also the width of the attention.
            clip_dim: D.
            num_heads: of the attention.
            shares_projection: brings CLIP's map to C channels once, before keys and values are taken from it; if not,
                each is taken from its D channels by a matrix of its own.
        """
        super().__init__()
        self.project = nn.Linear(clip_dim, query_dim) if shares_projection else nn.Identity()
        cell_dim = query_dim if shares_projection else clip_dim
        self.attention = nn.MultiheadAttention(query_dim, num_heads, batch_first=True, kdim=cell_dim, vdim=cell_dim)
        self.norm = nn.LayerNorm(query_dim)

    def forward(
        self,
        query_embed: Float[Tensor, "B Q C"],
        clip_map: Float[Tensor, "B D gh gw"],
        region_weights: Float[Tensor, "B Q cells"],
    ) -> Float[Tensor, "B Q C"]:
        """Adds to each query what it finds under its mask.

        Args:
            query_embed: decoder output per mask.
            clip_map: CLIP's features in the joint space.
            region_weights: how much each cell belongs to each mask, in [0, 1].
        """
        cells = self.project(clip_map.flatten(2).transpose(1, 2))
        bias = region_weights.clamp(min=LEAST_WEIGHT).log().to(cells.dtype)
        bias = bias.repeat_interleave(self.attention.num_heads, dim=0)  # (B heads) Q cells
        gathered, _ = self.attention(query_embed, cells, cells, attn_mask=bias, need_weights=False)
        return self.norm(query_embed + gathered)
