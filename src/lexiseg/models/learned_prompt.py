"""A learned prompt: vectors before a word in place of a template (CoOp; SimBaseline)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lexiseg.encoders.clip.base import OpenClip
from lexiseg.encoders.text import TextEncoder


class LearnedPrompt(nn.Module):
    """P vectors in the space of CLIP's token embeddings, shared by all words; initialised from N(0, 0.02)."""

    def __init__(self, length: int, text_width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(length, text_width))
        nn.init.normal_(self.vectors, std=0.02)

    def before(self, clip: OpenClip) -> TextEncoder:
        """CLIP's text tower with the vectors inserted between the start token and the text."""
        return _Prompted(vectors=self.vectors, clip=clip)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Prompted:
    """A text tower with a learned prompt."""

    vectors: Float[Tensor, "P W"]
    clip: OpenClip

    @property
    def fingerprint(self) -> str:
        """A hash of the tower and the vectors."""
        digest = hashlib.sha256(self.clip.fingerprint.encode())
        digest.update(self.vectors.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:32]

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Float[Tensor, "M D"]:
        """Encodes bare words; float32, not normalised."""
        tokens = self.clip.tokenize(prompts).to(self.vectors.device)
        return self.clip.encode_tokens(tokens, self.vectors).float()
