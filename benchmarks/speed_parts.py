"""The parts of a model against the same parts of other programs: sections of benchmarks/speed.py.

None is compiled but MaskFormer's network.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import alternating
import crops
import torch
from speed_rows import Row, Settings
from torch import Tensor, nn
from torch.nn import functional as F
from twins import Twins, embeddings, maskformers, shown

from lexiseg.core.structures import ImageBatch, RegionEmbeddings, VocabularyEmbeddings
from lexiseg.encoders import colours
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.text import embed_names
from lexiseg.layers.modulation import ModulationConfig, modulated_logits
from lexiseg.layers.pooling import mask_mean
from lexiseg.models.crops import RegionConfig, cut_regions
from lexiseg.models.postprocess.panoptic import panoptic_map

Call = Callable[[], Any]
PARTS: Mapping[str, tuple[str, Callable[[Any], Tensor], Callable[[Any], Tensor]]] = {
    "backbone": ("pixel_level_module.encoder", lambda out: out.feature_maps[-1], lambda out: out.feature_maps[-1]),
    "pixel decoder": ("pixel_level_module.decoder", lambda out: out.mask_features, lambda out: out.mask_features),
    "one deformable attention of six": (
        "pixel_level_module.decoder.encoder.layers.0.self_attn",
        lambda out: out,
        lambda out: out[0],
    ),
    "query decoder": (
        "transformer_module",
        lambda out: out.mask_logits,
        lambda out: out.masks_queries_logits[-1],
    ),
}
"""Modules of both networks under one name, and what of their results is compared, ours first."""
WORDS = {133: 161, 847: 1235, 21_000: 21_000}
"""Concepts of COCO, of ADE20K in full and of ImageNet, and the names that they have."""
LARGE = "ViT-L-14-quickgelu"
MASKS = 100
SCALE = 100.0


def parts(settings: Settings) -> Iterator[Row]:
    """Each part of every backbone's model, at the second size, as the first one is in a whole pass."""
    for backbone in settings.backbones:
        size = settings.sizes[min(1, len(settings.sizes) - 1)]
        both = settings.twins(backbone, size)
        name = f"{backbone}, {shown(size)}: "
        yield from (replace(row, name=name + row.name) for row in _segmenter(settings, both))
        if backbone == settings.backbones[0]:
            yield from (replace(row, name=name + row.name) for row in _around(settings, both))


def _segmenter(settings: Settings, both: Twins) -> Iterator[Row]:
    """What a Mask2Former is made of."""
    segmenter: Any = both.network.segmenter
    own = captured(segmenter.mask2former, lambda: both.network.propose(both.images))
    peers = captured(both.theirs.model, lambda: both.theirs(both.pixel_values))
    for name, (path, of_ours, of_theirs) in PARTS.items():
        ours, theirs = settings.ours(own[path]), settings.theirs(peers[path])
        off = largest(of_ours(ours()), of_theirs(theirs()))
        yield settings.row("parts", name, ours, theirs, peer="transformers", differences={"outputs": off})


@torch.inference_mode()
def captured(network: nn.Module, run: Call) -> dict[str, Call]:
    """The modules of `PARTS` in a network, each on what it is called with, first of all, when the whole is run."""
    calls: dict[str, Call] = {}

    def keep(path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(part: nn.Module, args: Any, kwargs: Any) -> None:
            calls.setdefault(path, lambda: part(*args, **kwargs))

        return hook

    paths = [path for path, *_ in PARTS.values()]
    hooks = [network.get_submodule(path).register_forward_pre_hook(keep(path), with_kwargs=True) for path in paths]
    run()
    for hook in hooks:
        hook.remove()
    return calls


def largest(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference."""
    return float((ours.float() - theirs.float()).abs().max())


def _around(settings: Settings, both: Twins) -> Iterator[Row]:
    """What an OPSNet has beside it; its cost depends on no backbone."""
    network, images = both.network, both.images
    ours, theirs = settings.ours(lambda: network.clip_map(images)), settings.theirs(maskclip(network.clip, images))
    off = largest(ours(), theirs())
    yield settings.row("parts", "CLIP RN50", ours, theirs, peer="open_clip, MaskCLIP's way", differences={"map": off})

    with torch.inference_mode():
        masks, clip_map = network.propose(images).mask_logits.float(), network.clip_map(images).float()
    ours, theirs = settings.ours(lambda: mask_mean(clip_map, masks)), settings.theirs(pooled_at_masks(clip_map, masks))
    off = largest(ours(), theirs())
    yield settings.row("parts", "pooling", ours, theirs, peer="CLIP's map at masks' size", differences={"means": off})

    for count, names in WORDS.items():
        per_word = names_each(count, names)
        words = embeddings(per_word, clip_map.shape[1]).to(images.pixel_values.device)
        yield _naming(settings, words, per_word, masks.shape[1])

    with torch.inference_mode():
        words = both.model.encode(both.vocabulary)
        prediction, out = network(images, words), both.theirs(both.pixel_values)
    config = replace(network.config.merge, score_threshold=both.thresholds[0])
    yield settings.row(
        "parts",
        "merge of 30 masks, each of half the picture",
        settings.ours(lambda: panoptic_map(prediction, 0, images.frames[0], both.vocabulary, config)),
        settings.theirs(lambda: both.post_process(out)),
        peer="transformers",
    )
    encoded = both.model.encode_image(both.pictures[0])
    yield settings.row(
        "parts",
        "another question about a picture",
        lambda: encoded.segment(both.vocabulary, score_threshold=both.thresholds[0]),
        both.ours,
        peer="a whole pass of ours",
    )
    names = both.vocabulary.row_names()[: 8 if settings.is_quick else None]
    yield settings.alone(
        "parts",
        f"{len(names)} names of COCO, {len(both.vocabulary.templates)} templates, the first time",
        lambda: embed_names(network.clip, names, both.vocabulary.templates),
        rounds=1,
    )


def names_each(count: int, names: int) -> list[int]:
    """So many names, shared out evenly among so many concepts."""
    return [names // count + (place < names % count) for place in range(count)]


def _naming(settings: Settings, words: VocabularyEmbeddings, per_word: list[int], num_queries: int) -> Row:
    generator, dim, device = torch.Generator().manual_seed(0), words.text_embed.shape[1], words.text_embed.device
    query, clip = (
        F.normalize(torch.randn(1, num_queries, dim, generator=generator), dim=-1).to(device) for _ in range(2)
    )
    config, regions = ModulationConfig(clip_ratio=1.0), RegionEmbeddings(class_embed=query, clip_embed=clip)

    def theirs() -> Tensor:
        cosines = F.normalize(query + clip, dim=-1) @ words.text_embed.T
        found = [name.amax(-1) for name in cosines.split(per_word, -1)]
        return SCALE * torch.stack(found, -1) / words.similarity**config.beta

    ours = settings.ours(lambda: modulated_logits(regions, words, config, logit_scale=SCALE))
    theirs = settings.theirs(theirs)
    off = largest(ours(), theirs())
    name = f"naming, {words.num_concepts} words"
    return settings.row("parts", name, ours, theirs, peer="FC-CLIP's loop over words", differences={"logits": off})


def maskclip(clip: Clip, images: ImageBatch) -> Call:
    """open_clip's image tower and the last two projections of its attention pool, each a convolution of 1 x 1."""
    own = Clip(clip.config).eval().to(images.pixel_values.device)
    own.load_state_dict(clip.state_dict())
    visual: Any = own.visual
    pool, pixel_values = visual.attnpool, colours.CLIP.normalise(images.pixel_values)

    def run() -> Tensor:
        features = visual.stem(pixel_values)
        for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            features = stage(features)
        for projection in (pool.v_proj, pool.c_proj):
            features = F.conv2d(features, projection.weight[:, :, None, None], projection.bias)
        return features

    return run


def pooled_at_masks(clip_map: Tensor, mask_logits: Tensor) -> Call:
    """The mean of CLIP's map under each mask as it is written down first: the map as large as the masks."""

    def run() -> Tensor:
        inside = (mask_logits > 0).to(clip_map.dtype).flatten(2)
        cells = F.interpolate(clip_map, mask_logits.shape[-2:]).flatten(2).transpose(1, 2)
        return inside @ cells / inside.sum(-1, keepdim=True)

    return run


def maskformer(settings: Settings) -> Iterator[Row]:
    """OVSeg's segmenter, with a ResNet-50."""
    for size in settings.sizes:
        own, peer, images = maskformers(size, settings.device, is_tiny=settings.is_quick)
        pixel_values = colours.IMAGENET.normalise(images.pixel_values)
        ours, theirs = settings.ours(partial(own, images.pixel_values)), settings.theirs(partial(peer, pixel_values))
        off = largest(ours().mask_logits, theirs().masks_queries_logits)
        flops = alternating.flops(ours)
        if settings.is_compiled:
            own.compile()
        name = f"MaskFormer r50, {shown(size)}"
        yield settings.row(
            "maskformer", name, ours, theirs, peer="transformers", flops=flops, differences={"masks": off}
        )


def masked_crops(settings: Settings) -> Iterator[Row]:
    """One dense pass, and one pass of crops, from which that of all follows."""
    images, dense = crops.one_picture(96 if settings.is_quick else 480), crops.DensePass()
    vit = crops.build_vit("ViT-B-32-quickgelu" if settings.is_quick else LARGE)
    count = 10 if settings.is_quick else MASKS
    mask_logits = crops.propose(count, images.frames[0].padded)
    images, mask_logits = images.to(settings.device), mask_logits.to(settings.device)
    for network in (dense.clip, dense.adapter, vit):
        network.to(settings.device)
    first, *others = cut_regions(images, mask_logits, RegionConfig(), vit.config.image_size)
    wanted = len(first.queries) + sum(len(one.queries) for one in others)
    row = settings.row(
        "crops",
        f"{count} masks, {shown(images.frames[0].padded)}",
        settings.ours(lambda: dense(images, mask_logits)),
        settings.theirs(lambda: vit.encode_regions(first.pixel_values, first.masks)),
        peer=f"{wanted} crops, scaled from {len(first.queries)}",
    )
    assert row.theirs is not None
    assert row.best is not None
    factor = wanted / len(first.queries)
    yield replace(row, theirs=row.theirs * factor, best=(row.best[0], row.best[1] * factor))
