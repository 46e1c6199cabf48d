"""Encoding many prompts together, whatever several of them begin with once.

A causal text tower sees of a sentence only what comes before. So the features of a token depend on the sentence up to
it, and "a photo of a cat." and "a photo of a dog." have those of five tokens in common. Linear layers, nine tenths of
the work, run over the N distinct beginnings of M prompts: with CLIP's templates, well under half of all tokens. The
last layer gives the features of the ends alone, as nothing else is read.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginnings:
    """The distinct beginnings of M prompts of up to L tokens, shorter ones first; each is known by its last token."""

    tokens: Int[Tensor, " N"]
    """The last token of each."""
    positions: Int[Tensor, " N"]
    """Its place in the prompt."""
    paths: Int[Tensor, "M L"]
    """Those of every prompt, from its first token to its end; behind it, that of its end again."""
    is_inside: Bool[Tensor, "M L"]
    """False behind the end."""

    @staticmethod
    def of(tokens: Int[Tensor, "M L"], ends: Int[Tensor, " M"]) -> "Beginnings":
        """Finds them in tokenised prompts, whose last token stands at `ends`."""
        size = int(tokens.max()) + 1
        found, paths = [], []
        last, number = torch.zeros_like(ends), 0
        for position in range(tokens.shape[1]):
            goes_on = ends >= position
            keys, places = (last[goes_on] * size + tokens[goes_on, position]).unique(return_inverse=True)
            last = last.index_put((goes_on,), places + number)
            number += len(keys)
            found.append(keys % size)
            paths.append(last)
        positions = torch.arange(len(found), device=tokens.device)
        return Beginnings(
            tokens=torch.cat(found),
            positions=positions.repeat_interleave(torch.tensor([len(part) for part in found], device=tokens.device)),
            paths=torch.stack(paths, dim=1),
            is_inside=positions <= ends[:, None],
        )


def encode_ends(clip: Any, tokens: Int[Tensor, "M L"], ends: Int[Tensor, " M"]) -> Float[Tensor, "M D"]:
    """Embeds tokenised prompts by a causal text tower of open_clip's; not normalised.

    Args:
        clip: open_clip's model.
        tokens: of the prompts.
        ends: the place of each one's last token.
    """
    begun = Beginnings.of(tokens, ends)
    hidden = clip.token_embedding(begun.tokens) + clip.positional_embedding[begun.positions]
    *blocks, last = clip.transformer.resblocks
    rows = begun.paths[begun.is_inside]
    for block in blocks:
        each = _attended(block, hidden, begun)
        attended = each.new_empty(hidden.shape)
        attended[rows] = each[begun.is_inside]  # the same for all that share a beginning
        hidden = _behind_attention(block, hidden, attended)
    at_ends = torch.arange(len(ends), device=ends.device), ends
    attended = _attended(last, hidden, begun)[at_ends]
    hidden = _behind_attention(last, hidden[begun.paths[at_ends]], attended)
    return clip.ln_final(hidden) @ clip.text_projection


def _attended(block: Any, hidden: Float[Tensor, "N W"], begun: Beginnings) -> Float[Tensor, "M L W"]:
    """What every token of every prompt sees, before the output projection."""
    attention = block.attn
    mapped = F.linear(block.ln_1(hidden), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = mapped[begun.paths].unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)


def _behind_attention(block: Any, hidden: Float[Tensor, "N W"], attended: Float[Tensor, "N W"]) -> Float[Tensor, "N W"]:
    """The rest of a block."""
    hidden = hidden + block.ls_1(block.attn.out_proj(attended))
    return hidden + block.ls_2(block.mlp(block.ln_2(hidden)))
