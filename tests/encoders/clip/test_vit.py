import gc
import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import save_file
from torch import Tensor

from lexiseg.encoders import colours
from lexiseg.encoders.clip.vit import PromptConfig, VitClip, VitConfig
from lexiseg.encoders.clip.vit_weights import PROMPT_KEY, read_vit_weights, vit_config_of
from ovseg_twin import PUBLISHED, layout
from tiny import seeded

CONFIG = VitConfig(
    embed_dim=32,
    width=128,
    layers=4,
    patch_size=8,
    image_size=32,
    text_width=32,
    text_heads=1,
    text_layers=1,
    context_length=32,
)
MASK = PromptConfig(kind="mask", depth=3)
KINDS = {
    "mask": MASK,
    "token": PromptConfig(kind="token"),
    "pixel": PromptConfig(kind="pixel"),
    "visual": PromptConfig(kind="visual", depth=2, num_tokens=5),
}


@cache
def build(prompts: PromptConfig | None = None, *, quick_gelu: bool = False) -> VitClip:
    """In eval mode; shared by the tests, which copy what they change."""
    return seeded(VitClip(replace(CONFIG, prompts=prompts, quick_gelu=quick_gelu))).eval()


def crops(seed: int = 1, count: int = 3) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def some_masks() -> Tensor:
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, 3:20, 5:30] = True
    masks[1, 17, 17] = True
    masks[2, 8:, :16] = True
    return masks


@pytest.fixture
def prompted() -> VitClip:
    return build(MASK)


@pytest.mark.parametrize("quick_gelu", [False, True])
@torch.no_grad()
def test_pictures_are_embedded_as_open_clip_does_bit_for_bit(quick_gelu: bool) -> None:
    clip = build(quick_gelu=quick_gelu)
    expected = clip.clip.encode_image(colours.CLIP.normalise(crops()))
    assert torch.equal(clip.encode_image(crops()), expected)
    assert any(isinstance(part, QuickGELU) for part in clip.visual.modules()) is quick_gelu
    assert expected.std(0).mean() > 1e-2


def test_gradients_are_open_clips_too() -> None:
    clip = deepcopy(build()).train()
    grads = []
    for embed in (clip.encode_image(crops()), clip.clip.encode_image(colours.CLIP.normalise(crops()))):
        clip.zero_grad()
        embed.square().sum().backward()
        grads.append([weight.grad.clone() for weight in clip.image_parameters])
    assert all(torch.equal(own, theirs) for own, theirs in zip(*grads, strict=True))


@torch.no_grad()
def test_half_precision_on_a_cpu_stays_close_to_open_clip(prompted: VitClip) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = prompted.encode_image(crops())
        theirs = prompted.clip.encode_image(colours.CLIP.normalise(crops()))
    assert found.dtype == theirs.dtype == torch.bfloat16
    exact = prompted.encode_image(crops())
    error = (found.float() - exact).norm() / exact.norm()
    assert error < 0.02
    assert error < 1.5 * (theirs.float() - exact).norm() / exact.norm()


@pytest.mark.parametrize("kind", ["mask", "token", "pixel"])
@torch.no_grad()
def test_a_crop_that_is_all_region_is_plain_clip_bit_for_bit(kind: str) -> None:
    clip, masks = build(KINDS[kind]), torch.ones(3, 32, 32, dtype=torch.bool)
    plain = clip.encode_image(crops())
    assert torch.equal(clip.encode_regions(crops(), masks), plain)
    assert torch.equal(clip.encode_regions(crops(), None), plain)
    assert not torch.allclose(clip.encode_regions(crops(), some_masks()), plain)


@pytest.mark.parametrize("kind", ["mask", "token", "pixel"])
@torch.no_grad()
def test_an_empty_mask_answers_the_same_whatever_the_pixels(kind: str) -> None:
    clip, masks = build(KINDS[kind]), torch.zeros(3, 32, 32, dtype=torch.bool)
    first, second = clip.encode_regions(crops(1), masks), clip.encode_regions(crops(2), masks)
    assert torch.equal(first, second)
    assert torch.equal(first[0], first[2])


@torch.no_grad()
def test_without_prompts_masks_change_nothing() -> None:
    clip = build()
    assert torch.equal(clip.encode_regions(crops(), some_masks()), clip.encode_image(crops()))
    assert clip.prompt_parameters == []


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@torch.no_grad()
def test_prompts_stand_at_background_patches_of_the_first_blocks_inputs(depth: int) -> None:
    """Section 3.3 written out with open_clip's own parts: tokens, class token, positions, then block after block."""
    clip, masks = build(PromptConfig(kind="mask", depth=depth)), some_masks()
    visual, embed = clip.clip.visual, clip.prompts.prompt_embed
    kept = torch.nn.functional.avg_pool2d(masks[:, None].float(), 8).ceil().flatten(1)[..., None]
    tokens = visual.conv1(colours.CLIP.normalise(crops())).flatten(2).transpose(1, 2)
    tokens = tokens * kept + embed[0] * (1 - kept)
    tokens = torch.cat([visual.class_embedding.expand(3, 1, -1), tokens], 1) + visual.positional_embedding
    tokens = visual.ln_pre(tokens)
    for number, block in enumerate(visual.transformer.resblocks):
        if 0 < number < depth:
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:] * kept + embed[number] * (1 - kept)], 1)
        tokens = block(tokens)
    expected = visual.ln_post(tokens)[:, 0] @ visual.proj
    torch.testing.assert_close(clip.encode_regions(crops(), masks), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_batch_answers_as_its_crops_do_one_by_one(prompted: VitClip) -> None:
    masks = some_masks()
    together = prompted.encode_regions(crops(), masks)
    alone = torch.cat([prompted.encode_regions(crops()[i : i + 1], masks[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert prompted.encode_regions(crops()[:0], masks[:0]).shape == (0, 32)


@torch.no_grad()
def test_visual_prompts_take_part_with_and_without_masks() -> None:
    clip = build(KINDS["visual"])
    found = clip.encode_regions(crops(), None)
    assert torch.equal(found, clip.encode_regions(crops(), some_masks()))
    assert not torch.allclose(found, clip.encode_image(crops()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_prompt_learns_while_the_tower_stays(kind: str) -> None:
    clip = deepcopy(build(KINDS[kind])).requires_grad_(False)
    for weight in clip.prompt_parameters:
        weight.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        clip.encode_regions(crops(), some_masks()).float().square().sum().backward()
    assert all(bool(weight.grad.flatten(1).any(1).all()) for weight in clip.prompt_parameters)
    assert all(weight.grad is None for weight in clip.image_parameters)
    own = {id(weight) for weight in clip.prompt_parameters + clip.image_parameters}
    assert len(own) == len(list(clip.visual.parameters())) + 1


def test_the_mean_colour_is_exactly_zero_to_clip(prompted: VitClip) -> None:
    pixels = crops()
    hidden = torch.zeros(3, 32, 32, dtype=torch.bool)
    hidden[:, 10:20] = True
    filled = torch.where(hidden[:, None], torch.tensor(colours.CLIP.mean).view(3, 1, 1), pixels)
    assert colours.CLIP.normalise(filled).permute(1, 0, 2, 3)[:, hidden].abs().max() == 0
    blank = torch.tensor(colours.CLIP.mean).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert not prompted.visual.conv1(colours.CLIP.normalise(blank)).any()  # a masked patch is a zero token


@torch.no_grad()
def test_text_embeddings_are_open_clips_own() -> None:
    clip, prompts = build(), ["a cat", "a photo of a small red house", "天空"]
    whole = open_clip.SimpleTokenizer(context_length=32)(prompts)
    torch.testing.assert_close(clip.encode_text(prompts), clip.clip.encode_text(whole), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_learned_prompt_of_a_sentences_own_vectors_is_that_sentence(prompted: VitClip) -> None:
    words = prompted.clip.token_embedding(prompted.tokenize(["a photo of a"]))[0, 1:-1]
    tokens = prompted.tokenize(["cat", "small red house"])
    found = prompted.encode_tokens(tokens, words)
    expected = prompted.encode_text(["a photo of a cat", "a photo of a small red house"])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_words_behind_a_learned_prompt_are_cut_as_the_tokenizer_cuts_them(prompted: VitClip) -> None:
    words = prompted.clip.token_embedding(prompted.tokenize(["a photo of a"]))[0, 1:-1]
    long = "very " * 40 + "red cat"
    found = prompted.encode_tokens(prompted.tokenize([long, "cat"]), words)
    expected = prompted.encode_text([f"a photo of a {long}", "a photo of a cat"])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_a_learned_prompt_receives_gradient_and_must_leave_room(prompted: VitClip) -> None:
    tokens = prompted.tokenize(["cat", "dog"])
    context = torch.zeros(16, 32, requires_grad=True)
    prompted.encode_tokens(tokens, context).square().sum().backward()
    assert bool(context.grad.any(1).all())
    with pytest.raises(ValueError, match=r"30 vectors leaves no room .* 32 tokens: learn at most 29"):
        prompted.encode_tokens(tokens, torch.zeros(30, 32))


@torch.no_grad()
def test_the_fingerprint_follows_the_text_tower_alone() -> None:
    plain, prompted = deepcopy(build()), deepcopy(build(MASK))
    prompted.clip.load_state_dict(plain.clip.state_dict())
    before = plain.fingerprint
    assert prompted.fingerprint == before
    plain.visual.proj += 1
    assert plain.fingerprint == before
    plain.clip.ln_final.bias[0] += 1e-3
    assert plain.fingerprint != before


def test_named_sizes_are_open_clips_own() -> None:
    config = VitConfig.named("ViT-L-14-quickgelu", prompts=MASK)
    assert (config.embed_dim, config.width, config.layers, config.num_patches) == (768, 1024, 24, 256)
    assert (config.text_width, config.text_heads, config.context_length) == (768, 12, 77)
    assert config.quick_gelu
    assert config.prompts == MASK
    assert VitConfig.named("ViT-B-16") == VitConfig()
    assert VitConfig.named("ViT-bigG-14").mlp_ratio == 4.9231


@pytest.mark.parametrize(
    "model", ["RN50", "ViT-B-16-SigLIP", "coca_ViT-B-32", "ViT-H-14-CLIPA", "xlm-roberta-base-ViT-B-32", "ViT-Z-3"]
)
def test_models_of_another_kind_are_refused_by_name(model: str) -> None:
    with pytest.raises(ValueError, match=f"got '{model}': choose one such as ViT-B-16"):
        VitConfig.named(model)


def test_sizes_that_do_not_fit_are_refused() -> None:
    for wrong, told in {
        ("patch_size", 7): "image_size must be a multiple of patch_size, got 32 and 7",
        ("head_width", 0): "width must be a multiple of head_width, got 128 and 0",
        ("prompts", PromptConfig(kind="mask", depth=5)): "depth 5 need as many layers, got 4",
    }.items():
        with pytest.raises(ValueError, match=told):
            replace(CONFIG, **{wrong[0]: wrong[1]})
    for wrong in ({"depth": 0}, {"num_tokens": 3}):
        with pytest.raises(ValueError, match="expected"):
            PromptConfig(kind="mask", **wrong)
    with pytest.raises(ValueError, match="num_tokens above 0 for visual"):
        PromptConfig(kind="visual", depth=2)
    with pytest.raises(ValueError, match="depth of 1"):
        PromptConfig(kind="token", depth=2)


def test_pictures_of_another_size_are_refused_with_both_sizes(prompted: VitClip) -> None:
    with pytest.raises(ValueError, match=r"expected pictures of 32 x 32 .* got 64 x 64"):
        prompted.encode_image(torch.zeros(1, 3, 64, 64))


def authors_state(clip: VitClip) -> dict[str, Tensor]:
    """The weights under the names that the authors' files have."""
    prompts = {"visual.mask_embedding": clip.prompts.prompt_embed.detach()}
    return clip.clip.state_dict() | prompts | {"context_length": torch.tensor(32)}


@pytest.mark.parametrize("form", ["plain.pt", "nested.pt", "half.pt", "plain.safetensors"])
def test_mask_adapted_weights_are_read_in_every_published_form(form: str, prompted: VitClip, tmp_path: Path) -> None:
    state = authors_state(prompted)
    if form == "half.pt":
        state = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    if form.endswith("safetensors"):
        save_file(state, tmp_path / form)
    elif form == "nested.pt":
        torch.save({"epoch": 2, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / form)
    else:
        torch.save(state, tmp_path / form)
    weights, prompts = read_vit_weights(tmp_path / form)
    assert prompts is not None
    assert vit_config_of(weights | prompts) == prompted.config
    read = VitClip(vit_config_of(weights | prompts))
    read.load_state_dict(weights | prompts)
    for name, value in prompted.state_dict().items():
        assert read.state_dict()[name].dtype == torch.float32
        assert torch.equal(read.state_dict()[name], value.half().float() if form == "half.pt" else value)


def test_weights_without_prompts_and_prompts_alone_are_read(prompted: VitClip, tmp_path: Path) -> None:
    torch.save(prompted.clip.state_dict(), tmp_path / "clip.pt")
    weights, prompts = read_vit_weights(tmp_path / "clip.pt")
    assert prompts is None
    assert vit_config_of(weights, quick_gelu=True) == replace(CONFIG, quick_gelu=True)
    embed = prompted.prompts.prompt_embed.detach()
    torch.save({"state_dict": {"module.visual.mask_embedding": embed.half()}}, tmp_path / "mpt.pt")
    weights, prompts = read_vit_weights(tmp_path / "mpt.pt")
    assert weights == {}
    assert prompts is not None
    assert prompts.keys() == {PROMPT_KEY}
    assert torch.equal(prompts[PROMPT_KEY], embed.half().float())


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return gc.collect, ()


def test_files_that_hold_no_such_clip_end_in_one_sentence(prompted: VitClip, tmp_path: Path) -> None:
    state = authors_state(prompted)
    small = torch.zeros(1, 16, 128)
    for name, content, told in (
        ("other.pt", {"a": torch.zeros(1)}, "holds no CLIP"),
        ("list.pt", [1, 2], "holds no tensors by name"),
        ("nothing.pt", {}, "it holds neither CLIP's weights"),
        ("flat.pt", {"visual.mask_embedding": torch.zeros(4, 4)}, "neither CLIP's weights nor mask prompts"),
        ("point.pt", state | {"visual.mask_embedding": torch.tensor(1.0)}, "prompts.prompt_embed is .* another rank"),
        ("vain.pt", {"visual.mask_embedding": torch.zeros(0, 16, 128)}, "neither CLIP's weights nor mask prompts"),
        ("thin.pt", state | {"visual.conv1.weight": torch.zeros(0, 3, 8, 8)}, "conv1.weight is missing, empty"),
        (
            "bare.pt",
            state | {"visual.positional_embedding": torch.zeros(0, 128)},
            "visual.positional_embedding is .* empty",
        ),
        ("tiny.pt", state | {"visual.positional_embedding": torch.zeros(1, 128)}, "image_size must be a multiple"),
        ("mute.pt", state | {"positional_embedding": torch.zeros(0, 32)}, "positional_embedding is .* empty"),
        ("deep.pt", state | {"visual.mask_embedding": torch.zeros(9, 16, 128)}, "depth 9 need as many layers, got 4"),
        (
            "wide.pt",
            state | {"visual.mask_embedding": small[..., :64]},
            r"another shape in prompts.prompt_embed \[1, 16, 64\] instead of \[1, 16, 128\]",
        ),
        ("more.pt", state | {"visual.extra": small}, "holds the unknown visual.extra"),
        ("less.pt", {k: v for k, v in state.items() if "ln_2" not in k}, r"lacks visual\..*ln_2.bias, .* and 7 more"),
        ("trap.pt", {"a": _Trap()}, "cannot read weights"),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=told) as caught:
            read_vit_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="there are no weights at"):
        read_vit_weights(tmp_path / "none.pt")


@torch.no_grad()
@pytest.mark.parametrize("source", ["recorded", "twin"])
def test_the_full_size_prompts_and_tower_have_the_official_shapes(source: str, request: pytest.FixtureRequest) -> None:
    """Recorded of the published checkpoint, and, without the folder of shared data, by the rule of the layout."""
    official = layout(PUBLISHED)
    if source == "recorded":
        listed = request.getfixturevalue("shared") / "golden" / "ovseg-tiny" / "official_swinB_vitL14_keys.json"
        official = {key: tuple(shape) for key, shape in json.loads(listed.read_text()).items()}
    prefix = "clip_adapter.clip_model."
    expected = {f"clip.{k.removeprefix(prefix)}": v for k, v in official.items() if k.startswith(prefix)}
    expected[PROMPT_KEY] = expected.pop("clip.visual.mask_embedding")
    with torch.device("meta"):
        clip = VitClip(VitConfig.named("ViT-L-14-quickgelu", prompts=MASK))
    assert {name: tuple(value.shape) for name, value in clip.state_dict().items()} == expected
    assert vit_config_of(clip.state_dict(), quick_gelu=True) == clip.config


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-H-14", "ViT-bigG-14"])
def test_sizes_are_told_from_the_weights_of_published_models(model: str) -> None:
    with torch.device("meta"):
        clip = VitClip(VitConfig.named(model))
    found = vit_config_of(clip.state_dict())
    assert found.mlp_ratio == pytest.approx(clip.config.mlp_ratio, abs=1e-3)
    assert int(found.width * found.mlp_ratio) == int(found.width * clip.config.mlp_ratio)
    assert replace(found, mlp_ratio=clip.config.mlp_ratio) == clip.config
