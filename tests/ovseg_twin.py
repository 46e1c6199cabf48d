"""OVSeg once more, slowly: from the paper's equations, on weights by the names that published checkpoints have.

Nothing of `lexiseg` is used but open_clip's tokenizer, so that a checkpoint of the published layout, drawn at random,
tells whether the importer puts every weight in its place and whether the model computes what the paper says. It stands
in for the recorded outputs of the official program, which are tried where the folder of shared data lies beside the
repository.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor

TEMPLATES = ("a photo of a {}.", "there is a {} in the scene.")
PICTURE_MEAN, PICTURE_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SCALE = 100.0
GROUPS = 32
TOKENS = 49408
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Every size of an OVSeg with a Swin; the defaults are small."""

    embed: int = 16
    depths: tuple[int, ...] = (1, 2, 2, 2)
    heads: tuple[int, ...] = (1, 2, 2, 4)
    window: int = 3
    pixel: int = 32
    mask: int = 24
    hidden: int = 32
    layers: int = 3
    feedforward: int = 48
    decoder_heads: int = 4
    queries: int = 12
    head_hidden: int = 40
    classes: int = 4
    joint: int = 32
    vision: int = 128
    vision_layers: int = 3
    patch: int = 16
    side: int = 64
    prompt_depth: int = 2
    text: int = 64
    text_layers: int = 2
    context: int = 77
    threshold: float = 0.4
    clip_weight: float = 0.7

    @property
    def patches(self) -> int:
        """Patches of a crop."""
        return (self.side // self.patch) ** 2


PUBLISHED = Sizes(
    embed=128,
    depths=(2, 2, 18, 2),
    heads=(4, 8, 16, 32),
    window=12,
    pixel=256,
    mask=256,
    hidden=256,
    layers=6,
    feedforward=2048,
    decoder_heads=8,
    queries=100,
    head_hidden=1024,
    classes=171,
    joint=768,
    vision=1024,
    vision_layers=24,
    patch=14,
    side=224,
    prompt_depth=3,
    text=768,
    text_layers=12,
)
"""Swin-B beside ViT-L/14, the larger of the two published checkpoints (paper, section 4.1)."""


def layout(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The key and shape of every tensor of a checkpoint, buffers too."""
    found: dict[str, tuple[int, ...]] = {}

    def put(key: str, *shape: int) -> None:
        found[key] = shape

    def layer(key: str, *shape: int, bias: bool = True) -> None:
        put(f"{key}.weight", *shape)
        if bias:
            put(f"{key}.bias", shape[0])

    def norm(key: str, width: int) -> None:
        layer(key, width)

    layer("backbone.patch_embed.proj", sizes.embed, 3, 4, 4)
    norm("backbone.patch_embed.norm", sizes.embed)
    for stage, (depth, heads) in enumerate(zip(sizes.depths, sizes.heads, strict=True)):
        width = sizes.embed * 2**stage
        for block in range(depth):
            key = f"backbone.layers.{stage}.blocks.{block}"
            norm(f"{key}.norm1", width)
            put(f"{key}.attn.relative_position_bias_table", (2 * sizes.window - 1) ** 2, heads)
            put(f"{key}.attn.relative_position_index", sizes.window**2, sizes.window**2)
            layer(f"{key}.attn.qkv", 3 * width, width)
            layer(f"{key}.attn.proj", width, width)
            norm(f"{key}.norm2", width)
            layer(f"{key}.mlp.fc1", 4 * width, width)
            layer(f"{key}.mlp.fc2", width, 4 * width)
        if stage < 3:
            layer(f"backbone.layers.{stage}.downsample.reduction", 2 * width, 4 * width, bias=False)
            norm(f"backbone.layers.{stage}.downsample.norm", 4 * width)
        norm(f"backbone.norm{stage}", width)
    fpn, queries = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"
    for level in (1, 2, 3):
        layer(f"{fpn}.adapter_{level}", sizes.pixel, sizes.embed * 2 ** (level - 1), 1, 1, bias=False)
        norm(f"{fpn}.adapter_{level}.norm", sizes.pixel)
        layer(f"{fpn}.layer_{level}", sizes.pixel, sizes.pixel, 3, 3, bias=False)
        norm(f"{fpn}.layer_{level}.norm", sizes.pixel)
    layer(f"{fpn}.layer_4", sizes.pixel, sizes.embed * 8, 3, 3, bias=False)
    norm(f"{fpn}.layer_4.norm", sizes.pixel)
    layer(f"{fpn}.mask_features", sizes.mask, sizes.pixel, 3, 3)
    put(f"{queries}.query_embed.weight", sizes.queries, sizes.hidden)
    layer(f"{queries}.input_proj", sizes.hidden, sizes.embed * 8, 1, 1)
    for place in range(sizes.layers):
        key = f"{queries}.transformer.decoder.layers.{place}"
        for attention in ("self_attn", "multihead_attn"):
            put(f"{key}.{attention}.in_proj_weight", 3 * sizes.hidden, sizes.hidden)
            put(f"{key}.{attention}.in_proj_bias", 3 * sizes.hidden)
            layer(f"{key}.{attention}.out_proj", sizes.hidden, sizes.hidden)
        layer(f"{key}.linear1", sizes.feedforward, sizes.hidden)
        layer(f"{key}.linear2", sizes.hidden, sizes.feedforward)
        for which in (1, 2, 3):
            norm(f"{key}.norm{which}", sizes.hidden)
    norm(f"{queries}.transformer.decoder.norm", sizes.hidden)
    for place, width in enumerate((sizes.hidden, sizes.hidden, sizes.mask)):
        layer(f"{queries}.mask_embed.layers.{place}", width, sizes.hidden)
    layer(f"{queries}.class_embed.layers.0", sizes.head_hidden, sizes.hidden)
    layer(f"{queries}.class_embed.layers.1", sizes.joint, sizes.head_hidden)
    put("criterion.empty_weight", sizes.classes + 1)
    put("clip_adapter.non_object_embedding", 1, sizes.joint)
    put("clip_adapter.pixel_mean", 1, 3, 1, 1)
    put("clip_adapter.pixel_std", 1, 3, 1, 1)
    clip = "clip_adapter.clip_model"
    put(f"{clip}.positional_embedding", sizes.context, sizes.text)
    put(f"{clip}.text_projection", sizes.text, sizes.joint)
    put(f"{clip}.logit_scale")
    put(f"{clip}.token_embedding.weight", TOKENS, sizes.text)
    norm(f"{clip}.ln_final", sizes.text)
    put(f"{clip}.visual.class_embedding", sizes.vision)
    put(f"{clip}.visual.positional_embedding", sizes.patches + 1, sizes.vision)
    put(f"{clip}.visual.proj", sizes.vision, sizes.joint)
    put(f"{clip}.visual.mask_embedding", sizes.prompt_depth, sizes.patches, sizes.vision)
    layer(f"{clip}.visual.conv1", sizes.vision, 3, sizes.patch, sizes.patch, bias=False)
    norm(f"{clip}.visual.ln_pre", sizes.vision)
    norm(f"{clip}.visual.ln_post", sizes.vision)
    for tower, width, depth in (
        (f"{clip}.visual.transformer", sizes.vision, sizes.vision_layers),
        (f"{clip}.transformer", sizes.text, sizes.text_layers),
    ):
        for place in range(depth):
            key = f"{tower}.resblocks.{place}"
            put(f"{key}.attn.in_proj_weight", 3 * width, width)
            put(f"{key}.attn.in_proj_bias", 3 * width)
            layer(f"{key}.attn.out_proj", width, width)
            norm(f"{key}.ln_1", width)
            layer(f"{key}.mlp.c_fc", 4 * width, width)
            layer(f"{key}.mlp.c_proj", width, 4 * width)
            norm(f"{key}.ln_2", width)
    return found


def checkpoint(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """Moderate noise in that layout."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for key, shape in layout(sizes).items():
        noise = torch.randn(shape, generator=rng)
        if key.endswith("relative_position_index"):
            found[key] = torch.zeros(shape, dtype=torch.long)
        elif key.endswith(("query_embed.weight", "token_embedding.weight")):
            found[key] = 3 * noise  # so that queries and words differ
        elif key.endswith("mask_embed.layers.2.weight"):
            found[key] = noise  # so that masks are nearly all or nothing
        elif key.endswith("in_proj_weight"):
            found[key] = 3 * noise / math.sqrt(shape[1])  # so that each looks elsewhere
        elif key.endswith("bias"):
            found[key] = 0.05 * noise
        elif len(shape) >= 2 and "embedding" not in key:
            found[key] = noise / math.sqrt(math.prod(shape[1:]))
        elif len(shape) == 1 and key.endswith(".weight"):  # of a norm
            found[key] = 1 + 0.2 * noise
        else:
            found[key] = 0.3 * noise
    return found


def settings(sizes: Sizes, names: Sequence[str]) -> dict[str, Any]:
    """The configuration beside it, in the official words, for what weights do not tell."""
    return {
        "class_names": list(names),
        "swin": {"WINDOW_SIZE": sizes.window, "NUM_HEADS": list(sizes.heads)},
        "mask_former": {"NHEADS": sizes.decoder_heads},
        "clip_adapter": {
            "TEXT_TEMPLATES": "predefined",
            "PREDEFINED_PROMPT_TEMPLATES": list(TEMPLATES),
            "MASK_THR": sizes.threshold,
            "MASK_FILL": "mean",
            "CLIP_ENSEMBLE": True,
            "CLIP_ENSEMBLE_WEIGHT": sizes.clip_weight,
        },
    }


def picture(height: int = 64, width: int = 80, seed: int = 1) -> Tensor:
    """Smooth bytes, 3 x H x W; the width is no multiple of 32."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, height // 8, width // 8, generator=rng)
    return (255 * resized(coarse, height, width, "bilinear")).to(torch.uint8)


def answer(weights: Weights, sizes: Sizes, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """All that `lexiseg import --verify` compares, of one picture and these words."""
    height, width = image.shape[1:]
    features = swin(weights, sizes, image)
    mask_logits, class_embed = decode(weights, sizes, features)
    void = unit(weights["clip_adapter.non_object_embedding"])
    text_embed = torch.cat([torch.stack([word(weights, sizes, name) for name in names]), void])
    padded = [resized(mask[None], 4 * mask.shape[0], 4 * mask.shape[1], "bilinear")[0] for mask in mask_logits]
    probs = torch.stack([mask[:height, :width].sigmoid() for mask in padded])
    valid = torch.tensor([bool((mask > sizes.threshold).any()) for mask in probs])
    regions = [unit(region(weights, sizes, image.float() / 255, mask)) for mask in probs[valid]]
    clip_logits = SCALE * torch.stack(regions) @ text_embed.T
    by_query = (SCALE * unit(class_embed) @ text_embed.T).softmax(-1)[:, :-1]
    by_clip = torch.ones_like(by_query)  # CLIP has no opinion of an empty mask
    by_clip[valid] = clip_logits[:, :-1].softmax(-1)
    both = by_query ** (1 - sizes.clip_weight) * by_clip**sizes.clip_weight
    return {
        "image": image,
        **{f"backbone.res{stage}": feature for stage, feature in enumerate(features, 2)},
        "mask_logits": mask_logits,
        "class_embed": class_embed,
        "text_embed": text_embed,
        "valid": valid,
        "clip_logits": clip_logits,
        "sem_seg": weighted_sum(both, probs),
        "sem_seg_no_ensemble": weighted_sum(by_query, probs),
    }


def weighted_sum(scores: Tensor, masks: Tensor) -> Tensor:
    """Each class's mask: the proposals' masks, weighted by their scores (OVSeg, section 3.1)."""
    return torch.stack([sum(s * m for s, m in zip(column, masks, strict=True)) for column in scores.T])


# Swin (Liu et al., 2021)


def swin(weights: Weights, sizes: Sizes, image: Tensor) -> list[Tensor]:
    """Four maps C x h x w, at strides 4 to 32."""
    pixels = (image.float() - torch.tensor(PICTURE_MEAN)[:, None, None]) / torch.tensor(PICTURE_STD)[:, None, None]
    pixels = torch.nn.functional.pad(pixels, (0, -pixels.shape[2] % 32, 0, -pixels.shape[1] % 32))
    tokens = patches(pixels, 4) @ weights["backbone.patch_embed.proj.weight"].flatten(1).T
    tokens = norm(weights, "backbone.patch_embed.norm", tokens + weights["backbone.patch_embed.proj.bias"])
    maps = []
    for stage, depth in enumerate(sizes.depths):
        for block in range(depth):
            key = f"backbone.layers.{stage}.blocks.{block}"
            shift = 0 if block % 2 == 0 else sizes.window // 2
            attended = windows(weights, f"{key}.attn", sizes, norm(weights, f"{key}.norm1", tokens), stage, shift)
            tokens = tokens + attended
            inner = linear(weights, f"{key}.mlp.fc1", norm(weights, f"{key}.norm2", tokens))
            inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
            tokens = tokens + linear(weights, f"{key}.mlp.fc2", inner)
        maps.append(norm(weights, f"backbone.norm{stage}", tokens).permute(2, 0, 1))
        if stage < 3:
            corners = [tokens[y::2, x::2] for x in (0, 1) for y in (0, 1)]
            merged = norm(weights, f"backbone.layers.{stage}.downsample.norm", torch.cat(corners, -1))
            tokens = merged @ weights[f"backbone.layers.{stage}.downsample.reduction.weight"].T
    return maps


def windows(weights: Weights, key: str, sizes: Sizes, tokens: Tensor, stage: int, shift: int) -> Tensor:
    """Attention inside windows; after a shift, tokens from opposite borders do not see one another."""
    side, heads = sizes.window, sizes.heads[stage]
    height, width, channels = tokens.shape
    tokens = torch.nn.functional.pad(tokens, (0, 0, 0, -width % side, 0, -height % side))
    tall, wide = tokens.shape[:2]
    tokens = tokens.roll((-shift, -shift), (0, 1))
    out = torch.empty_like(tokens)
    cells = [(y, x) for y in range(side) for x in range(side)]
    table = weights[f"{key}.relative_position_bias_table"]
    bias = torch.stack(
        [table[(a[0] - b[0] + side - 1) * (2 * side - 1) + a[1] - b[1] + side - 1] for a in cells for b in cells]
    ).view(len(cells), len(cells), heads)

    def part(place: int, length: int) -> int:
        return 0 if place < length - side else 1 if place < length - shift else 2

    for top in range(0, tall, side):
        for left in range(0, wide, side):
            window = tokens[top : top + side, left : left + side].reshape(-1, channels)
            parts = [(part(top + y, tall), part(left + x, wide)) if shift else (0, 0) for y, x in cells]
            apart = torch.tensor([[one != other for other in parts] for one in parts])
            mixed = attention(linear(weights, f"{key}.qkv", window).chunk(3, -1), heads, bias.permute(2, 0, 1), apart)
            out[top : top + side, left : left + side] = linear(weights, f"{key}.proj", mixed).view(side, side, -1)
    return out.roll((shift, shift), (0, 1))[:height, :width]


# MaskFormer (Cheng et al., 2021)


def decode(weights: Weights, sizes: Sizes, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mask logits (Q h w, stride 4) and class embeddings (Q D, not normalised)."""
    fpn, key = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"
    pixels = group_norm(weights, f"{fpn}.layer_4.norm", convolved(weights, f"{fpn}.layer_4", features[3])).relu()
    for level in (3, 2, 1):
        lateral = group_norm(
            weights, f"{fpn}.adapter_{level}.norm", convolved(weights, f"{fpn}.adapter_{level}", features[level - 1])
        )
        pixels = lateral + pixels.repeat_interleave(2, 1).repeat_interleave(2, 2)
        pixels = convolved(weights, f"{fpn}.layer_{level}", pixels)
        pixels = group_norm(weights, f"{fpn}.layer_{level}.norm", pixels).relu()
    pixels = convolved(weights, f"{fpn}.mask_features", pixels)
    memory = convolved(weights, f"{key}.input_proj", features[3])
    where = sines(sizes.hidden, *memory.shape[1:]).flatten(0, 1)
    memory, place = memory.flatten(1).T, weights[f"{key}.query_embed.weight"]
    queries = torch.zeros_like(place)
    for layer in range(sizes.layers):
        name = f"{key}.transformer.decoder.layers.{layer}"
        for step, attend in ((1, "self_attn"), (2, "multihead_attn")):
            seen, at = (queries, place) if step == 1 else (memory, where)
            three = zip((queries + place, seen + at, seen), thirds(weights, f"{name}.{attend}"), strict=True)
            mixed = attention([x @ w.T + b for x, (w, b) in three], sizes.decoder_heads)
            queries = norm(weights, f"{name}.norm{step}", queries + linear(weights, f"{name}.{attend}.out_proj", mixed))
        inner = linear(weights, f"{name}.linear2", linear(weights, f"{name}.linear1", queries).relu())
        queries = norm(weights, f"{name}.norm3", queries + inner)
    queries = norm(weights, f"{key}.transformer.decoder.norm", queries)
    masks = linear(weights, f"{key}.mask_embed.layers.0", queries).relu()
    masks = linear(weights, f"{key}.mask_embed.layers.1", masks).relu()
    masks = linear(weights, f"{key}.mask_embed.layers.2", masks)
    hidden = linear(weights, f"{key}.class_embed.layers.0", queries).relu()
    return (
        torch.einsum("qc,chw->qhw", masks, pixels),
        linear(weights, f"{key}.class_embed.layers.1", hidden),
    )


def sines(width: int, height: int, breadth: int) -> Tensor:
    """DETR's position embedding, h x w x C: half for the row, half for the column."""
    found = torch.empty(height, breadth, width)
    for y in range(height):
        for x in range(breadth):
            for half, (at, length) in enumerate(((y, height), (x, breadth))):
                angle = (at + 1) / (length + 1e-6) * 2 * math.pi
                for c in range(width // 2):
                    turn = angle / 10000 ** (2 * (c // 2) / (width // 2))
                    found[y, x, half * width // 2 + c] = math.cos(turn) if c % 2 else math.sin(turn)
    return found


# CLIP (Radford et al., 2021) with mask prompts (OVSeg, section 3.3)


def word(weights: Weights, sizes: Sizes, name: str) -> Tensor:
    """Encode, normalise, average over the sentences, normalise."""
    clip = "clip_adapter.clip_model"
    found = []
    for sentence in TEMPLATES:
        (numbers,) = open_clip.tokenizer.tokenize([sentence.format(name)], context_length=sizes.context)
        tokens = weights[f"{clip}.token_embedding.weight"][numbers] + weights[f"{clip}.positional_embedding"]
        later = torch.ones(sizes.context, sizes.context).triu(1).bool()
        for layer in range(sizes.text_layers):
            tokens = clip_block(weights, f"{clip}.transformer.resblocks.{layer}", tokens, sizes.text // 64, later)
        last = norm(weights, f"{clip}.ln_final", tokens)[int(numbers.argmax())]
        found.append(unit(last @ weights[f"{clip}.text_projection"]))
    return unit(torch.stack(found).mean(0))


def region(weights: Weights, sizes: Sizes, image: Tensor, probs: Tensor) -> Tensor:
    """CLIP's embedding of one masked crop: tight box, mean colour behind, bicubic, prompts for empty patches."""
    mask = probs > sizes.threshold
    ys, xs = (axis.tolist() for axis in mask.nonzero(as_tuple=True))
    box = (slice(min(ys), max(ys) + 1), slice(min(xs), max(xs) + 1))
    mean, std = torch.tensor(CLIP_MEAN)[:, None, None], torch.tensor(CLIP_STD)[:, None, None]
    crop = torch.where(mask[box], image[:, *box], mean)
    crop = (resized(crop, sizes.side, sizes.side, "bicubic") - mean) / std
    tall, wide = mask[box].shape
    rows = [math.floor(y * tall / sizes.side) for y in range(sizes.side)]
    columns = [math.floor(x * wide / sizes.side) for x in range(sizes.side)]
    square = mask[box][rows][:, columns]
    visual = "clip_adapter.clip_model.visual"
    per_row = sizes.side // sizes.patch
    empty = torch.tensor([not bool(patch.any()) for patch in patches(square[None], sizes.patch).flatten(0, 1)])
    tokens = patches(crop, sizes.patch).flatten(0, 1) @ weights[f"{visual}.conv1.weight"].flatten(1).T
    assert len(tokens) == per_row**2
    prompts = weights[f"{visual}.mask_embedding"]
    tokens = torch.where(empty[:, None], prompts[0], tokens)
    tokens = torch.cat([weights[f"{visual}.class_embedding"][None], tokens])
    tokens = norm(weights, f"{visual}.ln_pre", tokens + weights[f"{visual}.positional_embedding"])
    for layer in range(sizes.vision_layers):
        if 0 < layer < sizes.prompt_depth:
            tokens = torch.cat([tokens[:1], torch.where(empty[:, None], prompts[layer], tokens[1:])])
        tokens = clip_block(weights, f"{visual}.transformer.resblocks.{layer}", tokens, sizes.vision // 64)
    return norm(weights, f"{visual}.ln_post", tokens[0]) @ weights[f"{visual}.proj"]


def clip_block(weights: Weights, key: str, tokens: Tensor, heads: int, hidden: Tensor | None = None) -> Tensor:
    """One residual block, with OpenAI's x sigmoid(1.702 x)."""
    inner = norm(weights, f"{key}.ln_1", tokens)
    three = [inner @ w.T + b for w, b in thirds(weights, f"{key}.attn")]
    tokens = tokens + linear(weights, f"{key}.attn.out_proj", attention(three, heads, hidden=hidden))
    inner = linear(weights, f"{key}.mlp.c_fc", norm(weights, f"{key}.ln_2", tokens))
    return tokens + linear(weights, f"{key}.mlp.c_proj", inner * (1.702 * inner).sigmoid())


# What all of them need


def attention(three: Sequence[Tensor], heads: int, bias: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
    """Softmax attention, a head at a time; query, key, value L x C; nobody looks where `hidden` is true."""
    found = []
    for head, (q, k, v) in enumerate(zip(*(x.chunk(heads, -1) for x in three), strict=True)):
        scores = q @ k.T / math.sqrt(q.shape[-1])
        if bias is not None:
            scores = scores + bias[head]
        if hidden is not None:
            scores = scores.masked_fill(hidden, -math.inf)
        found.append(scores.softmax(-1) @ v)
    return torch.cat(found, -1)


def thirds(weights: Weights, key: str) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of query, key and value."""
    packed = weights[f"{key}.in_proj_weight"].chunk(3), weights[f"{key}.in_proj_bias"].chunk(3)
    return list(zip(*packed, strict=True))


def linear(weights: Weights, key: str, x: Tensor) -> Tensor:
    return x @ weights[f"{key}.weight"].T + weights[f"{key}.bias"]


def norm(weights: Weights, key: str, x: Tensor) -> Tensor:
    """Layer norm over the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{key}.weight"] + weights[f"{key}.bias"]


def group_norm(weights: Weights, key: str, x: Tensor) -> Tensor:
    """Group norm of a map C x h x w."""
    groups = torch.cat([(part - part.mean()) / (part.var(unbiased=False) + 1e-5).sqrt() for part in x.chunk(GROUPS)])
    return groups * weights[f"{key}.weight"][:, None, None] + weights[f"{key}.bias"][:, None, None]


def convolved(weights: Weights, key: str, x: Tensor) -> Tensor:
    """A convolution of stride 1 that keeps the size: a sum over the kernel's cells."""
    kernel = weights[f"{key}.weight"]
    reach, (height, width) = kernel.shape[-1] // 2, x.shape[1:]
    around = torch.nn.functional.pad(x, (reach,) * 4)
    found = torch.zeros(len(kernel), height, width)
    for dy in range(kernel.shape[2]):
        for dx in range(kernel.shape[3]):
            seen = around[:, dy : dy + height, dx : dx + width]
            found = found + torch.einsum("oc,chw->ohw", kernel[:, :, dy, dx], seen)
    return found if f"{key}.bias" not in weights else found + weights[f"{key}.bias"][:, None, None]


def patches(x: Tensor, side: int) -> Tensor:
    """Squares of a map C x H x W as rows of numbers: h x w x (C side side)."""
    rows = [
        torch.stack([x[:, y : y + side, z : z + side].flatten() for z in range(0, x.shape[2], side)])
        for y in range(0, x.shape[1], side)
    ]
    return torch.stack(rows)


def resized(x: Tensor, height: int, width: int, kind: str) -> Tensor:
    """A map C x H x W at another size: bilinear or bicubic (a = -0.75) between pixel centres, borders repeated."""
    rows, columns = taps(x.shape[1], height, kind), taps(x.shape[2], width, kind)
    return (rows @ x.double() @ columns.T).to(x.dtype)


def taps(before: int, after: int, kind: str) -> Tensor:
    """How much each old pixel gives to each new one, after x before."""
    found = torch.zeros(after, before, dtype=torch.float64)
    for new in range(after):
        at = (new + 0.5) * before / after - 0.5
        if kind == "bilinear":
            at = max(at, 0.0)
        first = math.floor(at)
        for old in range(first - 1, first + 3):
            distance = abs(at - old)
            found[new, min(max(old, 0), before - 1)] += cubic(distance) if kind == "bicubic" else max(0, 1 - distance)
    return found


def cubic(distance: float, a: float = -0.75) -> float:
    """Keys' kernel."""
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    return a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a if distance < 2 else 0.0


def unit(x: Tensor) -> Tensor:
    """Rows of length one."""
    return x / x.norm(dim=-1, keepdim=True)
