"""The text tower that both kinds of CLIP share, and the marks of OpenAI's weights."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import open_clip
import torch
from jaxtyping import Float, Int
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.encoders.clip.beginnings import encode_ends

PLACEHOLDER = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=1, image_size=1)
"""An image tower of next to no size, where another one takes its place."""

LONG = 20
"""Tokens of a prompt that is encoded apart from shorter ones, which would wait for it in attention."""

SIZES_BESIDE_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Sizes that OpenAI's state dicts hold beside the weights, and nobody else's."""


@runtime_checkable
class TowerSizes(Protocol):
    """The sizes of a CLIP's text tower and joint space."""

    @property
    def embed_dim(self) -> int: ...  # noqa: D102
    @property
    def text_width(self) -> int: ...  # noqa: D102
    @property
    def text_heads(self) -> int: ...  # noqa: D102
    @property
    def text_layers(self) -> int: ...  # noqa: D102
    @property
    def context_length(self) -> int: ...  # noqa: D102
    @property
    def quick_gelu(self) -> bool: ...  # noqa: D102


class OpenClip(nn.Module):
    """open_clip's CLIP with access to the steps of its text tower; subclasses add the image tower."""

    config: Any
    """Its sizes."""
    is_causal: ClassVar[bool] = True
    """Whether the text tower sees of a sentence only what comes before, so that what follows its end has no effect."""

    def __init__(self, sizes: TowerSizes, vision: CLIPVisionCfg, text: CLIPTextCfg | None = None) -> None:
        """Builds both towers with random weights.

        Args:
            sizes: of the text tower and the joint space; the repr is part of the fingerprint.
            vision: the image tower's configuration.
            text: that of a text tower which is not CLIP's own; the weights have open_clip's other names for it.
        """
        super().__init__()
        own = CLIPTextCfg(
            context_length=sizes.context_length,
            width=sizes.text_width,
            heads=sizes.text_heads,
            layers=sizes.text_layers,
        )
        self.clip: CLIP | CustomTextCLIP = (
            CLIP(sizes.embed_dim, vision, own, quick_gelu=sizes.quick_gelu)
            if text is None
            else CustomTextCLIP(sizes.embed_dim, vision, text, init_logit_bias=-10.0)
        )
        self._identity = repr(sizes)
        self._hashed: tuple[object, str] = ((), "")

    @property
    def fingerprint(self) -> str:
        """A hash of the text tower's weights and sizes: part of the key of cached text embeddings."""
        text = {name: value for name, value in self.clip.state_dict().items() if not name.startswith("visual.")}
        versions = tuple((value.data_ptr(), value._version) for value in text.values())
        if versions != self._hashed[0]:  # hashed again only after a weight was replaced or written to
            digest = hashlib.sha256(self._identity.encode())
            for name, value in sorted(text.items()):
                digest.update(name.encode())
                digest.update(value.detach().float().cpu().numpy().tobytes())
            self._hashed = versions, digest.hexdigest()[:32]
        return self._hashed[1]

    @property
    def word_pieces(self) -> Any:
        """How words fall into tokens; its methods are `encode` and `decode`."""
        return _tokenizer(self.config.context_length)

    def tokenize(self, prompts: Sequence[str]) -> Int[Tensor, "M L"]:
        """Token ids, cut after the longest prompt: with the causal mask, later positions have no effect."""
        tokens = self.word_pieces(list(prompts))
        return tokens[:, : int(tokens.argmax(-1).max()) + 1]

    def encode_tokens(
        self, tokens: Int[Tensor, "M L"], context: Float[Tensor, "P W"] | None = None
    ) -> Float[Tensor, "M D"]:
        """Embeds tokenised prompts; not normalised.

        Args:
            tokens: from `tokenize`.
            context: learned vectors between the start token and the words (CoOp; SimBaseline's learned prompt has
                16), in the width of the text tower's tokens. Prompts that do not fit behind them are truncated, as by
                `tokenize`.

        Raises:
            ValueError: if the context leaves no room for a word.
        """
        clip: Any = self.clip  # open_clip sets these parts in a way that type checkers can't follow
        room = clip.context_length - (0 if context is None else len(context))
        if room < 3:
            raise ValueError(
                f"a learned prompt of {clip.context_length - room} vectors leaves no room for words in a context of "
                f"{clip.context_length} tokens: learn at most {clip.context_length - 3}."
            )
        end = tokens.argmax(-1)
        if tokens.shape[1] > room:
            tokens = tokens[:, :room].clone()
            tokens[end >= room, -1] = self.word_pieces.eot_token_id
            end = end.clamp(max=room - 1)
        hidden = clip.token_embedding(tokens)
        if context is not None:
            prefix = context.to(hidden.dtype).expand(len(hidden), -1, -1)
            hidden = torch.cat([hidden[:, :1], prefix, hidden[:, 1:]], dim=1)
            end = end + len(context)
        length = hidden.shape[1]
        hidden = clip.transformer(
            hidden + clip.positional_embedding[:length], attn_mask=clip.attn_mask[:length, :length]
        )
        return clip.ln_final(hidden)[torch.arange(len(end), device=end.device), end] @ clip.text_projection

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "M D"]:
        """Embeds prompts, what several begin with once; not normalised.

        In the precision of the weights, which is float32: bf16 takes 0.4 of the time on a CPU that has it, but changes
        scores by up to 0.006, and what is computed here is kept.
        """
        tokens = self.tokenize(prompts).to(self.clip.logit_scale.device)
        if not self.is_causal:
            return self.encode_tokens(tokens).float()
        ends = tokens.argmax(-1)
        embed = torch.empty(len(tokens), self.config.embed_dim, device=tokens.device)
        for rows in (ends < LONG, ends >= LONG):
            if rows.any():
                embed[rows] = encode_ends(self.clip, tokens[rows, : int(ends[rows].max()) + 1], ends[rows]).float()
        return embed


@cache
def _tokenizer(context_length: int) -> open_clip.SimpleTokenizer:
    """CLIP's own tokenizer; it takes half a second to build, and every CLIP has the same."""
    return open_clip.SimpleTokenizer(context_length=context_length)


def text_sizes(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `TowerSizes` in open_clip's configuration of a model."""
    text = model["text_cfg"]
    return {
        "embed_dim": model["embed_dim"],
        "text_width": text["width"],
        "text_heads": text["heads"],
        "text_layers": text["layers"],
        "context_length": text["context_length"],
        "quick_gelu": bool(model.get("quick_gelu", False)),
    }


def resize_positions(
    positions: Float[Tensor, "L F"],
    size: tuple[int, int],
    *,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    first: int = 1,
) -> Float[Tensor, "L2 F"]:
    """Resizes a position embedding to another grid.

    Args:
        positions: of a square grid, behind those of further tokens.
        size: height and width of the grid.
        mode: how; open_clip resizes a Vision Transformer's by "bicubic".
        first: how many rows belong to further tokens, such as the mean or class token; they stay.
    """
    side = round((len(positions) - first) ** 0.5)
    if size == (side, side):
        return positions
    grid = positions[first:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, size, mode=mode, align_corners=False, antialias=mode == "bicubic")
    return torch.cat([positions[:first], grid[0].flatten(1).T])
