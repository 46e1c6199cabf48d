"""Query enhancement: mask queries gather what frozen CLIP sees."""

from jaxtyping import Float
from torch import Tensor, nn


class QueryEnhancer(nn.Module):
    """One cross-attention layer from the segmenter's queries to CLIP's map (OPSNet, section 3.2).

    It stands behind the decoder, on the classification path alone: masks come from the plain query. Residual and norm
    as in the decoder's own layers. Position and width are not in the paper; the query's width keeps it small.
    """

    def __init__(self, query_dim: int, clip_dim: int, *, num_heads: int = 8) -> None:
        super().__init__()
        self.project = nn.Linear(clip_dim, query_dim)
        self.attention = nn.MultiheadAttention(query_dim, num_heads, batch_first=True)
        self.norm = nn.LayerNorm(query_dim)

    def forward(
        self, query_embed: Float[Tensor, "B Q C"], clip_map: Float[Tensor, "B D gh gw"]
    ) -> Float[Tensor, "B Q C"]:
        """Adds to each query what it finds in the map."""
        cells = self.project(clip_map.flatten(2).transpose(1, 2))
        gathered, _ = self.attention(query_embed, cells, cells, need_weights=False)
        return self.norm(query_embed + gathered)
