"""SigLIP: timm's Vision Transformer with an attention pool, and a text tower that sees a sentence from both sides."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from open_clip.model import CLIPTextCfg
from open_clip.tokenizer import get_clean_fn
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from lexiseg.core.checks import check_multiples
from lexiseg.core.messages import printable
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import PLACEHOLDER, OpenClip, resize_positions

Activation = Literal["gelu", "gelu_tanh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiglipConfig:
    """Sizes of a SigLIP; the defaults are ViT-B-16-SigLIP. Raises ValueError if a size is no multiple of its parts."""

    width: int = 768
    """Of the image tower's tokens, and of the joint space."""
    layers: int = 12
    heads: int = 12
    patch_size: int = 16
    image_size: int = 224
    """Side of the square input in pixels; what the patches do not fill is left out."""
    mlp_ratio: float = 4.0
    activation: Activation = "gelu"
    text_width: int = 768
    text_heads: int = 12
    text_layers: int = 12
    text_mlp_ratio: float = 4.0
    text_activation: Activation = "gelu"
    context_length: int = 64
    vocabulary_size: int = 32000
    tokenizer_size: int = 0
    """Bytes of the tokenizer, which lies beside the weights; without one, sentences cannot be embedded."""

    def __post_init__(self) -> None:
        check_multiples(self, width="heads", text_width="text_heads")

    @property
    def embed_dim(self) -> int:
        """Of the joint space."""
        return self.width

    @property
    def quick_gelu(self) -> bool:
        """No SigLIP was trained with it."""
        return False

    @property
    def colours(self) -> colours.ColourScale:
        """What the image tower was trained with."""
        return colours.HALF

    @property
    def stride(self) -> int:
        """Distance of the dense features' cells in pixels."""
        return self.patch_size


class SiglipClip(OpenClip):
    """open_clip's SigLIP, with dense features; its tokenizer is one of its weights, so that no file can go astray."""

    is_causal = False

    def __init__(self, config: SiglipConfig) -> None:
        text = CLIPTextCfg(
            context_length=config.context_length,
            vocab_size=config.vocabulary_size,
            width=config.text_width,
            heads=config.text_heads,
            layers=config.text_layers,
            mlp_ratio=config.text_mlp_ratio,
            no_causal_mask=True,
            proj_bias=True,
            pool_type="last",
            norm_kwargs={"eps": 1e-6},
            act_kwargs={"approximate": "tanh" if config.text_activation == "gelu_tanh" else "none"},
        )
        super().__init__(config, PLACEHOLDER, text)
        self.config = config
        visual = nn.Module()
        visual.trunk = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            num_classes=0,
            global_pool="map",
            embed_dim=config.width,
            depth=config.layers,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            class_token=False,
            act_layer=config.activation,
        )
        self.clip.register_module(
            "visual", visual
        )  # open_clip itself knows timm's models by name only, not by their sizes
        self.register_buffer("tokenizer", torch.zeros(config.tokenizer_size, dtype=torch.uint8))

    @property
    def trunk(self) -> Any:
        """Timm's Vision Transformer; of type Any, as timm's parts are not typed."""
        visual: Any = self.clip.visual
        return visual.trunk

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of the image tower in which its time goes, each called with features alone."""
        return list(self.trunk.blocks)

    @property
    def fingerprint(self) -> str:
        """A hash of the text tower's weights, of its sizes and of the tokenizer."""
        return f"{super().fingerprint}-{hashlib.sha256(self._tokenizer_text().encode()).hexdigest()[:16]}"

    @property
    def word_pieces(self) -> "WordPieces":
        """How words fall into tokens."""
        return _word_pieces(self._tokenizer_text())

    def tokenize(self, prompts: Sequence[str]) -> Int[Tensor, "M L"]:
        """Token ids, padded to the context length: the text tower sees the padding too.

        Raises:
            ValueError: if these weights carry no tokenizer.
        """
        return torch.tensor(self.word_pieces.encode_whole(prompts))

    def encode_tokens(
        self, tokens: Int[Tensor, "M L"], context: Float[Tensor, "P W"] | None = None
    ) -> Float[Tensor, "M D"]:
        """Embeds tokenised prompts; not normalised. A learned context is not supported.

        Raises:
            ValueError: if there is a context.
        """
        if context is not None:
            raise ValueError(
                "a learned prompt goes with a CLIP whose text tower is causal, not with a SigLIP: drop it."
            )
        return self.clip.encode_text(tokens)

    def dense_map(self, pixel_values: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B F gh gw"]:
        """What every cell gives the pooled token: the pool's values through its output projection.

        The pool asks with one learned query. Where its attention is uniform over the cells of a mask, what it returns
        is the mean of these, before the pool's MLP, which `embed_pooled` applies. The position embedding is resized to
        the picture's grid.

        Args:
            pixel_values: RGB in [0, 1], H and W multiples of the patch size.
        """
        trunk, size = self.trunk, self.config.patch_size
        grid = pixel_values.shape[-2] // size, pixel_values.shape[-1] // size
        tokens = trunk.patch_embed.proj(self.config.colours.normalise(pixel_values)).flatten(2).transpose(1, 2)
        tokens = tokens + resize_positions(trunk.pos_embed[0], grid, mode="bicubic", first=0)
        for block in trunk.blocks:
            tokens = block(tokens)
        pool = trunk.attn_pool
        weight, bias = pool.kv.weight[self.config.width :], pool.kv.bias[self.config.width :]
        return pool.proj(F.linear(trunk.norm(tokens), weight, bias)).transpose(1, 2).unflatten(2, grid)

    def embed_pooled(self, pooled: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q D"]:
        """The pool's MLP on pooled features, SigLIP's own way into the joint space; not normalised."""
        pool = self.trunk.attn_pool
        return pooled + pool.mlp(pool.norm(pooled))

    def encode_image(self, pixel_values: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Embeds pictures of the tower's own size, RGB in [0, 1]; not normalised."""
        return self.trunk(self.config.colours.normalise(pixel_values))

    def _tokenizer_text(self) -> str:
        if not self.config.tokenizer_size:
            raise ValueError(
                "these weights of a SigLIP carry no tokenizer: read them with the folder that they lie in."
            )
        tokenizer = self.tokenizer
        assert isinstance(tokenizer, Tensor)
        return bytes(tokenizer.cpu().numpy()).decode()


class WordPieces:
    """A tokenizer of the `tokenizers` library, behind big_vision's cleaning: lower case, no punctuation."""

    def __init__(self, text: str) -> None:
        self._whole, self._bare = Tokenizer.from_str(text), Tokenizer.from_str(text)
        self._bare.no_padding()
        self._bare.no_truncation()
        self._clean = get_clean_fn("canonicalize")

    def encode_whole(self, prompts: Sequence[str]) -> list[list[int]]:
        """The ids of whole sentences, with an end and padded."""
        return [found.ids for found in self._whole.encode_batch([self._clean(prompt) for prompt in prompts])]

    def encode(self, text: str) -> list[int]:
        """The ids of some words."""
        return self._bare.encode(self._clean(text), add_special_tokens=False).ids

    def decode(self, tokens: list[int]) -> str:
        """Words from ids."""
        return self._bare.decode(tokens)


@cache
def _word_pieces(text: str) -> WordPieces:
    return WordPieces(text)


def read_tokenizer(folder: Path, context_length: int, vocabulary_size: int) -> Tensor:
    """A folder's tokenizer as it tokenises for open_clip, in one piece: bytes, as they lie beside the weights.

    Args:
        folder: with tokenizer.json and tokenizer_config.json; nothing is fetched or run.
        context_length: to which sentences are padded and cut.
        vocabulary_size: rows of the text tower's table.

    Raises:
        ValueError: if there is no tokenizer, it can't be read, or it has more tokens than the table.
    """
    from transformers import AutoTokenizer  # here, because only SigLIPs need it

    if lacking := [name for name in ("tokenizer.json", "tokenizer_config.json") if not (folder / name).is_file()]:
        raise ValueError(
            f"a SigLIP needs its own tokenizer, and {printable(folder)} lacks {' and '.join(lacking)}: give the whole "
            "folder as it lies on the hub."
        )
    try:
        theirs: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        theirs("a", max_length=context_length, padding="max_length", truncation=True)  # which sets both on its backend
        text = theirs.backend_tokenizer.to_str()
        highest = max(max(ids) for ids in WordPieces(text).encode_whole(["a", "an armchair, 1 of 2!"]))
        largest = max(highest, *theirs.backend_tokenizer.get_vocab().values())
    except Exception as error:  # whatever a hostile or broken file raises
        raise ValueError(
            f"the tokenizer in {printable(folder)} can't be read ({type(error).__name__}): download the folder again."
        ) from error
    if largest >= vocabulary_size:
        raise ValueError(
            f"the tokenizer in {printable(folder)} has {largest + 1} tokens, but the text tower has {vocabulary_size}: "
            "they don't belong together."
        )
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
