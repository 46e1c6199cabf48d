"""Query enhancement: cross-attention from mask queries to CLIP's features."""

from jaxtyping import Float
from torch import Tensor, nn

LEAST_WEIGHT = 1e-6
"""Weight of a cell outside the mask: its logarithm, the attention bias, stays finite."""


class QueryEnhancer(nn.Module):
    """One cross-attention layer from the segmenter's queries to CLIP's map (OPSNet, section 3.2).

    It follows the decoder, on the classification path only: masks come from the unenhanced query. Residual and norm are
    those of the decoder's layers. Like Mask2Former's cross-attention it can be masked, which is the models' default
    (`OPSNetConfig.enhancer_is_masked`): a query attends to its own mask, as neither it nor CLIP's cells carry a
    position embedding. The paper has a plain layer, whose queries see all cells, and gives neither place nor width.
    """

    def __init__(self, query_dim: int, clip_dim: int, *, num_heads: int = 8, shares_projection: bool = True) -> None:
        """Builds the layer.

        Args:
            query_dim: C, the width of queries and of the attention.
            clip_dim: D, the channels of CLIP's map.
            num_heads: attention heads.
            shares_projection: projects CLIP's map to C channels once, before the key and value projections; if not,
                keys and values are projected from its D channels.
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
        region_weights: Float[Tensor, "B Q cells"] | None,
    ) -> Float[Tensor, "B Q C"]:
        """Adds to each query what it attends to, under its mask or anywhere.

        Args:
            query_embed: decoder output per mask.
            clip_map: CLIP's features in the joint space.
            region_weights: how much each cell belongs to each mask, in [0, 1]; None: the plain layer.
        """
        cells = self.project(clip_map.flatten(2).transpose(1, 2))
        bias = None
        if region_weights is not None:
            bias = region_weights.clamp(min=LEAST_WEIGHT).log().to(cells.dtype)
            bias = bias.repeat_interleave(self.attention.num_heads, dim=0)  # (B heads) Q cells
        gathered, _ = self.attention(query_embed, cells, cells, attn_mask=bias, need_weights=False)
        return self.norm(query_embed + gathered)
