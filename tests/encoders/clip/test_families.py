"""Four families of CLIP against open_clip: words, pictures, and what is pooled under a mask."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip import timm_model
from open_clip.model import CLIP, CustomTextCLIP, resize_pos_embed
from open_clip.tokenizer import get_clean_fn
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch.nn import functional as F
from transformers import AutoTokenizer, Mask2FormerForUniversalSegmentation, PreTrainedTokenizerFast

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import OpenClip
from lexiseg.encoders.clip.families import AnyClipConfig, build_clip
from lexiseg.encoders.clip.published import read_clip
from lexiseg.encoders.clip.siglip import SiglipClip, SiglipConfig, read_tokenizer
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.cut_words import note_on_cut_words
from lexiseg.encoders.segmenters.mask2former import to_transformers
from lexiseg.io.models import load_model, save_model
from lexiseg.layers.pooling import mask_mean
from lexiseg.models.assemble import assemble
from lexiseg.models.opsnet import OPSNet, OPSNetConfig

WORDS = ["a photo of a cat.", "lamp", "The grass, on which nobody sits!"]
RN, CONVNEXT = replace(tiny.CLIP, dense_stride=32), tiny.CONVNEXT
VIT = replace(tiny.VIT, prompts=None)
SIGLIP = SiglipConfig(
    width=32,
    layers=2,
    heads=2,
    patch_size=8,
    image_size=32,
    mlp_ratio=2.0,
    activation="gelu_tanh",
    text_width=48,
    text_heads=2,
    text_layers=1,
    text_mlp_ratio=3.0,
    text_activation="gelu_tanh",
    context_length=32,
    vocabulary_size=40,
)
IDS = {"RN": RN, "ViT": VIT, "ConvNeXt": CONVNEXT, "SigLIP": SIGLIP}


def write_tokenizer(folder: Path) -> None:
    """A small tokenizer in the published layout: no start, an end, padded with the end."""
    letters = [(letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -3.0), ("▁cat", -1.0), ("▁photo", -1.0), *letters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>", unk_token="<unk>")
    whole.save_pretrained(folder)


def build(config: AnyClipConfig, folder: Path) -> OpenClip:
    """A random CLIP in eval mode, a SigLIP with its tokenizer."""
    if not isinstance(config, SiglipConfig):
        return tiny.seeded(build_clip(config)).eval()
    write_tokenizer(folder)
    tokenizer = read_tokenizer(folder, config.context_length, config.vocabulary_size)
    clip = tiny.seeded(SiglipClip(replace(config, tokenizer_size=len(tokenizer)))).eval()
    clip.tokenizer.copy_(tokenizer)
    return clip


def text_cfg(config: AnyClipConfig) -> dict[str, Any]:
    sizes = {"width": config.text_width, "heads": config.text_heads, "layers": config.text_layers}
    sizes |= {"context_length": config.context_length}
    if isinstance(config, SiglipConfig):
        sizes |= {"vocab_size": 40, "mlp_ratio": 3.0, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
        sizes |= {"norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}}
    return sizes


def open_clips(clip: OpenClip, monkeypatch: pytest.MonkeyPatch) -> CLIP | CustomTextCLIP:
    """open_clip's own model with the same weights."""
    config = clip.config
    match config:
        case SiglipConfig():
            create, kind = timm.create_model, CustomTextCLIP
            sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8, "mlp_ratio": 2.0}
            monkeypatch.setattr(timm_model.timm, "create_model", lambda name, **more: create(name, **more, **sizes))
            vision = {"timm_model_name": "vit_so400m_patch16_siglip_256", "timm_pool": "map", "timm_proj": "none"}
        case _ if config is CONVNEXT:
            create, kind, sizes = timm.create_model, CLIP, {"depths": config.depths, "dims": config.dims}
            monkeypatch.setattr(timm_model.timm, "create_model", lambda name, **more: create(name, **more, **sizes))
            vision = {"timm_model_name": "convnext_tiny", "timm_pool": "", "timm_proj": config.head}
        case _:
            kind, names = CLIP, ("layers", "width", "head_width", "image_size", "patch_size")
            vision = {name: getattr(config, name) for name in names if hasattr(config, name)}
    bias = {"init_logit_bias": -10.0} if kind is CustomTextCLIP else {}
    theirs = kind(config.embed_dim, vision, text_cfg(config), quick_gelu=config.quick_gelu, **bias).eval()
    theirs.load_state_dict(clip.clip.state_dict())
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("family", IDS)
def test_words_and_pictures_are_embedded_as_open_clip_does(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = build(IDS[family], tmp_path)
    theirs = open_clips(clip, monkeypatch)
    tokens = open_clip.SimpleTokenizer(context_length=clip.config.context_length)(WORDS)
    if family == "SigLIP":  # as open_clip's HFTokenizer does, which before 3.1 calls what transformers has no more
        clean, padded = get_clean_fn("canonicalize"), {"max_length": 32, "padding": "max_length", "truncation": True}
        tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
        tokens = tokenizer([clean(word) for word in WORDS], return_tensors="pt", **padded).input_ids
    pixels = torch.rand(2, 3, clip.config.image_size, clip.config.image_size)

    words, seen = clip.encode_text(WORDS), clip.encode_image(pixels)

    torch.testing.assert_close(words, theirs.encode_text(tokens), atol=1e-5, rtol=1e-5)
    scale = colours.HALF if family == "SigLIP" else colours.CLIP
    torch.testing.assert_close(seen, theirs.encode_image(scale.normalise(pixels)), atol=1e-5, rtol=1e-4)
    assert words.std(0).mean() > 1e-3
    assert clip.fingerprint != build(replace(IDS[family], text_layers=2), tmp_path).fingerprint


def test_words_that_a_siglip_cuts_off_are_counted_by_its_own_tokenizer(tmp_path: Path) -> None:
    clip = build(SIGLIP, tmp_path)

    def note(words: str) -> str:
        return note_on_cut_words(Vocabulary.of(words, ("{}",)), 8, lambda: clip.word_pieces)

    assert note("cat, photo photo photo cat cat") == ""
    told = note("cat, photographer")

    assert "reads 8 tokens" in told
    assert "cuts off 'photographer' behind 'photograph'" in told


@torch.no_grad()
@pytest.mark.parametrize("side", [32, 48])
def test_a_vit_gives_the_mean_of_the_last_blocks_values_at_any_size(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tiny.seeded(VitClip(VIT)).eval()
    theirs: Any = open_clips(tiny.seeded(VitClip(replace(VIT, image_size=side))), monkeypatch)
    resized = dict(clip.clip.state_dict())
    resize_pos_embed(resized, theirs)  # open_clip's own way to another size
    theirs.load_state_dict(resized)
    pixels, visual = torch.rand(2, 3, side, side), theirs.visual

    found = clip.embed_pooled(clip.dense_map(pixels).flatten(2).mean(-1)[:, None])[:, 0]

    *blocks, last = visual.transformer.resblocks
    tokens = visual._embeds(colours.CLIP.normalise(pixels))
    for block in blocks:
        tokens = block(tokens)
    _, _, values = F.linear(last.ln_1(tokens), last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, -1)
    attended = values[:, 1:].mean(1)  # in every head, uniform attention over all patches
    expected = visual.ln_post(last.attn.out_proj(attended)) @ visual.proj
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert clip.dense_map(torch.rand(1, 3, 32, 64)).shape == (1, 64, 4, 8)


@torch.no_grad()
def test_a_siglip_whose_pool_attends_uniformly_is_the_mean_of_its_cells(tmp_path: Path) -> None:
    clip = build(SIGLIP, tmp_path)
    assert isinstance(clip, SiglipClip)
    clip.trunk.attn_pool.q.weight.zero_()
    clip.trunk.attn_pool.q.bias.zero_()
    pixels = torch.rand(2, 3, 32, 32)

    found = clip.embed_pooled(clip.dense_map(pixels).flatten(2).mean(-1)[:, None])[:, 0]

    torch.testing.assert_close(found, clip.encode_image(pixels), atol=1e-5, rtol=1e-4)
    assert clip.dense_map(torch.rand(1, 3, 32, 64)).shape == (1, 32, 4, 8)


def write_segmenter(folder: Path) -> Path:
    theirs = to_transformers(tiny.RESNET)
    theirs.id2label, theirs.label2id = {0: "cat", 1: "sky"}, {"cat": 0, "sky": 1}
    tiny.seeded(Mask2FormerForUniversalSegmentation(theirs)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segmenter(tmp_path_factory.mktemp("segmenter"))


@torch.no_grad()
@pytest.mark.parametrize("family", IDS)
def test_a_model_around_every_family_pools_under_masks_and_outlives_its_folder(
    family: str, segmenter: Path, tmp_path: Path
) -> None:
    clip = build(IDS[family], tmp_path)
    save_file(clip.clip.state_dict(), tmp_path / "open_clip_model.safetensors")
    published = IDS[family]

    opsnet = assemble(segmenter, published, tmp_path / "open_clip_model.safetensors", longest_side=96)

    images = tiny.pictures()
    proposals, clip_map = opsnet.propose(images), opsnet.clip_map(images)
    found = opsnet.embed(proposals, clip_map).clip_embed
    pooled = mask_mean(clip_map, opsnet._on_clip_canvas(proposals.mask_logits))
    brought = pooled if isinstance(opsnet.clip, type(build_clip(RN))) else opsnet.clip.embed_pooled(pooled)
    torch.testing.assert_close(found, F.normalize(brought, dim=-1))
    assert found.shape == (2, 8, published.embed_dim)
    save_model(opsnet, tmp_path / "whole")
    again = load_model(tmp_path / "whole")
    assert again.config == opsnet.config
    words = tiny.words(again, "cat, lamp")
    torch.testing.assert_close(again(images, words).class_logits, opsnet(images, words).class_logits)
    torch.testing.assert_close(words.text_embed, tiny.words(opsnet, "cat, lamp").text_embed)
    assert words.text_embed.std(0).mean() > 1e-3


def test_options_that_mean_nothing_to_a_family_are_refused_in_one_sentence() -> None:
    parts: dict[str, Any] = {"segmenter": tiny.RESNET, "training_vocabulary": tiny.TRAINING}
    whole = {"has_enhancer": False, "is_assembled": True}
    for clip in (VIT, CONVNEXT, SIGLIP):
        with pytest.raises(ValueError, match=r"only a CLIP with a ModifiedResNet .* to train on"):
            OPSNetConfig(clip=clip, **parts)
        with pytest.raises(ValueError, match="positions belong to the attention pool"):
            OPSNetConfig(clip=clip, positions="resize", **whole, **parts)
        OPSNetConfig(clip=clip, clip_scale=0.5, **whole, **parts)


@torch.no_grad()
def test_patches_that_do_not_fill_the_canvas_get_a_grid_of_their_own(segmenter: Path) -> None:
    config = replace(VIT, patch_size=14, image_size=42)
    whole = {"has_enhancer": False, "is_assembled": True}
    opsnet = OPSNet(
        OPSNetConfig(segmenter=tiny.RESNET, clip=config, training_vocabulary=tiny.TRAINING, longest_side=96, **whole)
    ).eval()

    clip_map = opsnet.clip_map(images := tiny.pictures(64, 96))

    assert clip_map.shape[-2:] == (5, 7)  # 64 and 96 pixels, to the nearest multiple of 14
    found = opsnet.embed(opsnet.propose(images), clip_map)
    assert found.clip_embed.isfinite().all()


def hub_folder(folder: Path, clip: OpenClip, model: dict[str, Any], preparation: dict[str, Any] | None = None) -> Path:
    save_file(clip.clip.state_dict(), folder / "open_clip_model.safetensors")
    document = {"model_cfg": model, "preprocess_cfg": preparation or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    return folder


def test_a_siglip_folder_brings_its_sizes_and_its_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = build(SIGLIP, tmp_path)
    create = timm.create_model
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8, "mlp_ratio": 2.0}
    monkeypatch.setattr(timm, "create_model", lambda name, **more: create(name, **more, **sizes))
    vision = {"timm_model_name": "vit_so400m_patch16_siglip_256", "timm_pool": "map", "timm_proj": "none"}
    text = text_cfg(SIGLIP) | {"hf_tokenizer_name": "timm/x", "tokenizer_kwargs": {"clean": "canonicalize"}}
    model = {"embed_dim": 32, "custom_text": True, "init_logit_bias": -10, "vision_cfg": vision, "text_cfg": text}
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}

    found = read_clip(hub_folder(tmp_path, clip, model, half))

    assert found.config == clip.config
    again = build_clip(found.config)
    again.load_state_dict(dict(found.state))
    assert torch.equal(again.eval().encode_text(WORDS), clip.encode_text(WORDS))
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"needs its own tokenizer, and .* lacks tokenizer_config.json"):
        read_clip(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ValueError, match=r"the tokenizer in .* can't be read"):
        read_clip(tmp_path)


def test_colours_are_those_that_the_weights_were_trained_on(tmp_path: Path) -> None:
    sizes = {"width": 64, "layers": 3, "head_width": 32, "patch_size": 8, "image_size": 32}
    model = {"embed_dim": 32, "vision_cfg": sizes, "text_cfg": text_cfg(VIT)}
    half, odd = {"mean": [0.5] * 3, "std": [0.5] * 3}, {"mean": [0.1] * 3, "std": [0.5] * 3}
    clip = tiny.seeded(VitClip(VIT))

    assert read_clip(hub_folder(tmp_path, clip, model)).config == VIT
    found = read_clip(hub_folder(tmp_path, clip, model, half)).config
    assert found.colours == colours.HALF
    assert repr(found) == repr(VIT)  # the text tower is the same, and so are its cached words
    with pytest.raises(ValueError, match="was trained on colours of mean"):
        read_clip(hub_folder(tmp_path, clip, model, odd))
