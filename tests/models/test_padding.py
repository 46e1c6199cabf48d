"""What stands beside a picture on its canvas: black, or the colour that each network normalises to zero."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

import tiny
from lexiseg.core.frames import Frame
from lexiseg.core.structures import ImageBatch, MaskProposals
from lexiseg.encoders import colours
from lexiseg.encoders.segmenters.mask2former import ResNetBackbone, SegmenterConfig, SwinBackbone
from lexiseg.encoders.segmenters.mask2former_weights import published_names, write_mask2former
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model, save_model
from lexiseg.models.assemble import assemble
from lexiseg.models.opsnet import OPSNetConfig

SIZES = {"encoder_layers": 2, "decoder_layers": 3, "feedforward_dim": 128, "hidden_dim": 64, "mask_dim": 64}
OFFICIAL = {
    "mask2former-r50-tiny": SegmenterConfig(
        resnet=ResNetBackbone(embedding_size=16, hidden_sizes=(32, 64, 128, 256)), num_queries=20, **SIZES
    ),
    "mask2former-swin-tiny": SegmenterConfig(
        swin=SwinBackbone(embed_dim=18, depths=(2, 1, 2, 1), num_heads=(3, 6, 9, 18), window_size=7),
        num_queries=20,
        **SIZES,
    ),
}
NAMES = (
    # ResNet
    (r"encoder\.embedder\.embedder\.", "backbone.stem.conv1."),
    (r"encoder\.encoder\.stages\.(\d)\.layers\.(\d)\.shortcut\.", r"backbone.res<\1>.\2.shortcut."),
    (r"encoder\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.0\.", r"backbone.res<\1>.\2.conv1."),
    (r"encoder\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.1\.", r"backbone.res<\1>.\2.conv2."),
    (r"encoder\.encoder\.stages\.(\d)\.layers\.(\d)\.layer\.2\.", r"backbone.res<\1>.\2.conv3."),
    (r"\.convolution\.", "."),
    (r"\.normalization\.", ".norm."),
    # Swin
    (r"encoder\.embeddings\.patch_embeddings\.projection\.", "backbone.patch_embed.proj."),
    (r"encoder\.embeddings\.norm\.", "backbone.patch_embed.norm."),
    (r"encoder\.encoder\.layers\.(\d)\.", r"backbone.layers.\1."),
    (r"layernorm_before", "norm1"),
    (r"layernorm_after", "norm2"),
    (r"attention\.output\.dense", "attn.proj"),
    (r"attention\.self\.(query|key|value)", r"attn.qkv.\1"),
    (r"attention\.self\.", "attn."),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"output\.dense", "mlp.fc2"),
    (r"encoder\.hidden_states_norms\.stage(\d)\.", r"backbone.norm[\1]."),
    # pixel decoder
    (r"^decoder\.encoder\.layers\.(\d)\.", r"pixel_decoder.transformer.encoder.layers.\1."),
    (r"(pixel_decoder.*)self_attn_layer_norm", r"\1norm1"),
    (r"(pixel_decoder.*)final_layer_norm", r"\1norm2"),
    (r"(pixel_decoder.*)fc(\d)", r"\1linear\2"),
    (r"^decoder\.level_embed", "pixel_decoder.transformer.level_embed"),
    (r"^decoder\.input_projections", "pixel_decoder.input_proj"),
    (r"^decoder\.mask_projection", "pixel_decoder.mask_features"),
    (r"^decoder\.(adapter|layer)_1\.0", r"pixel_decoder.\1_1"),
    (r"^decoder\.(adapter|layer)_1\.1", r"pixel_decoder.\1_1.norm"),
    # query decoder
    (r"transformer_module\.queries_embedder", "predictor.query_embed"),
    (r"transformer_module\.queries_features", "predictor.query_feat"),
    (r"transformer_module\.level_embed", "predictor.level_embed"),
    (r"transformer_module\.decoder\.layernorm", "predictor.decoder_norm"),
    (r"transformer_module\.decoder\.mask_predictor\.mask_embedder\.(\d)\.0", r"predictor.mask_embed.layers.\1"),
    (r"(\d)\.self_attn\.([qkv])_proj\.(\w+)$", r"\1.self_attn.in_proj_\3.\2"),
    (r"transformer_module\.decoder\.layers", "predictor.layers"),
    (r"predictor\.layers\.(\d)\.self_attn\.", r"predictor.transformer_self_attention_layers.\1.self_attn."),
    (r"predictor\.layers\.(\d)\.self_attn_layer_norm", r"predictor.transformer_self_attention_layers.\1.norm"),
    (r"predictor\.layers\.(\d)\.cross_attn\.", r"predictor.transformer_cross_attention_layers.\1.multihead_attn."),
    (r"predictor\.layers\.(\d)\.cross_attn_layer_norm", r"predictor.transformer_cross_attention_layers.\1.norm"),
    (r"predictor\.layers\.(\d)\.fc(\d)", r"predictor.transformer_ffn_layers.\1.linear\2"),
    (r"predictor\.layers\.(\d)\.final_layer_norm", r"predictor.transformer_ffn_layers.\1.norm"),
    (r"^(pixel_decoder|predictor)", r"sem_seg_head.\1"),
)
"""transformers' published names and the official ones."""
THIRDS = {"query": 0, "key": 1, "value": 2, "q": 0, "k": 1, "v": 2}


def official_weight(published: str, weights: dict[str, Tensor]) -> Tensor:
    name = published.removeprefix("pixel_level_module.")
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    name = re.sub(r"<(\d)>", lambda found: str(int(found[1]) + 2), name)
    name = re.sub(r"\[(\d)\]", lambda found: str(int(found[1]) - 1), name)
    if third := re.search(r"\.(query|key|value)\b|\.([qkv])$", name):
        return weights[name.replace(third[0], "")].chunk(3)[THIRDS[third[1] or third[2]]]
    return weights[name]


@pytest.mark.parametrize("name", OFFICIAL)
@torch.no_grad()
def test_an_assembled_model_proposes_the_masks_of_the_official_program(name: str, shared: Path, tmp_path: Path) -> None:
    """On pictures whose sides are no multiples of 32; `test_assemble.py` holds the same against transformers."""
    folder, config = shared / "golden" / name, OFFICIAL[name]
    reference = load_file(folder / "io.safetensors")
    stored = torch.load(folder / "checkpoint.pth", weights_only=True)["model"]
    weights = {key: value.float() for key, value in stored.items()}
    own = {
        ours: torch.zeros_like(like, device="cpu")
        if "num_batches" in published or "swin.layernorm" in published or "position_index" in published
        else official_weight(published, weights)
        for published, (ours, like) in published_names(config).items()
    }
    head = (weights[f"sem_seg_head.predictor.class_embed.{kind}"] for kind in ("weight", "bias"))
    labels = tuple(json.loads((folder / "config.json").read_text()).get("class_names", [f"word {n}" for n in range(9)]))
    write_mask2former(tmp_path, config, own, class_weight=next(head), class_bias=next(head), names=labels)
    torch.save(tiny.seeded(tiny.model()).clip.clip.state_dict(), tmp_path / "clip.pt")
    _, height, width = reference["image"].shape
    frame = Frame.fit((height, width), longest=max(height, width))

    opsnet = assemble(tmp_path, tiny.CLIP, tmp_path / "clip.pt")
    images = ImageBatch(pixel_values=frame.enter(reference["image"] / 255)[None], frames=(frame,))
    found = opsnet.propose(images)
    opsnet.config = replace(opsnet.config, padding="black")
    black = opsnet.propose(images)

    assert frame.padded != frame.resized
    torch.testing.assert_close(found.mask_logits[0], reference["mask_logits"], atol=2e-4, rtol=1e-4)
    logits = opsnet.head.classify(found.query_embed)[0]
    torch.testing.assert_close(logits, reference["class_logits"], atol=2e-4, rtol=1e-4)
    assert (black.mask_logits[0] - reference["mask_logits"]).abs().max() > 0.1


def padded(height: int, width: int) -> ImageBatch:
    """Two pictures whose sides are no multiples of 32, of different sizes, on one canvas."""
    frames = tuple(
        Frame(original=size, resized=size, padded=(96, 128)) for size in ((height, width), (height - 9, width + 5))
    )
    noise = [tiny.pictures(96, 128).only(n).pixel_values[0] for n in (0, 1)]
    canvases = [f.enter(picture[:, : f.resized[0], : f.resized[1]]) for f, picture in zip(frames, noise, strict=True)]
    return ImageBatch(pixel_values=torch.stack(canvases), frames=frames)


def normalised_first(images: ImageBatch, scale: colours.ColourScale) -> Tensor:
    """A slow twin: every picture is cut out, normalised, and padded with zeros."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (scale.mean, scale.std))
    found = torch.zeros_like(images.pixel_values)
    for canvas, picture, frame in zip(found, images.pixel_values, images.frames, strict=True):
        height, width = frame.resized
        canvas[:, :height, :width] = (picture[:, :height, :width] - mean) / std
    return found


@pytest.mark.parametrize("scale", [colours.IMAGENET, colours.CLIP])
def test_the_mean_colour_is_zero_once_it_is_normalised(scale: colours.ColourScale) -> None:
    images = padded(75, 101)
    assert torch.equal(scale.normalise(images.padded_with(scale.mean)), normalised_first(images, scale))
    whole = tiny.pictures(64, 96)
    assert whole.padded_with(scale.mean) is whole.pixel_values
    assert torch.equal(images.padded_with((0.0, 0.0, 0.0)), images.pixel_values)


@torch.no_grad()
def test_segmenter_and_clip_see_their_own_mean_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    images, opsnet = padded(75, 101), tiny.model(padding="mean")
    masks, clip_map = opsnet.propose(images).mask_logits, opsnet.clip_map(images)
    black = tiny.model()
    seen = black.propose(images).mask_logits, black.clip_map(images)

    def twin(self: colours.ColourScale, pixel_values: Tensor) -> Tensor:
        return normalised_first(replace(images, pixel_values=pixel_values), self)

    monkeypatch.setattr(colours.ColourScale, "normalise", twin)
    expected = black.propose(images).mask_logits, black.clip_map(images)

    for found, other, wanted in zip((masks, clip_map), seen, expected, strict=True):
        torch.testing.assert_close(found, wanted)
        assert not torch.allclose(found, other, atol=1e-3)


@torch.no_grad()
def test_of_an_ovseg_the_segmenter_always_sees_it() -> None:
    images, ovseg = padded(75, 101), tiny.ovseg()
    pixel_values = images.padded_with(colours.IMAGENET.mean)
    assert torch.equal(ovseg.propose(images).mask_logits, ovseg.segmenter(pixel_values).mask_logits)


def test_a_folder_without_the_field_pads_as_it_did_and_one_with_it_keeps_it(tmp_path: Path) -> None:
    folder = save_model(tiny.model(padding="mean", enhancer_is_masked=False), tmp_path / "model")
    kept = load_model(folder).config
    document = json.loads((folder / "config.json").read_text())
    del document["padding"], document["enhancer_is_masked"]
    (folder / "config.json").write_text(json.dumps(document))
    old = load_model(folder).config

    assert (kept.padding, kept.enhancer_is_masked) == ("mean", False)
    assert (old.padding, old.enhancer_is_masked) == ("black", True)
    shipped = load_model(find_model("storybook")).config
    assert isinstance(shipped, OPSNetConfig)
    assert (shipped.padding, shipped.enhancer_is_masked) == ("black", True)


@torch.no_grad()
def test_padding_with_black_is_what_it_was_in_every_bit() -> None:
    images, opsnet = padded(75, 101), tiny.model()
    assert torch.equal(opsnet.propose(images).mask_logits, opsnet.segmenter(images.pixel_values).mask_logits)
    assert torch.equal(opsnet.clip_map(images), opsnet.adapter(opsnet.clip.trunk(images.pixel_values, stride=16), None))


@torch.no_grad()
def test_the_plain_enhancer_sees_cells_outside_the_mask(rng: torch.Generator) -> None:
    masked, plain = tiny.model(), tiny.model(enhancer_is_masked=False)
    queries, clip_map = torch.randn(1, 8, 32, generator=rng), torch.randn(1, 32, 5, 7, generator=rng)
    proposals = MaskProposals(mask_logits=torch.randn(1, 8, 16, 24, generator=rng) - 1, query_embed=queries)
    found = [model.class_embed(proposals, clip_map) for model in (masked, plain)]
    assert plain.enhancer is not None
    cells = plain.enhancer.project(clip_map.flatten(2).transpose(1, 2))
    gathered, _ = plain.enhancer.attention(queries, cells, cells)
    expected = F.normalize(plain.head.project(plain.enhancer.norm(queries + gathered)), dim=-1)

    torch.testing.assert_close(found[1], expected)
    assert (found[0] - found[1]).abs().max() > 1e-3
