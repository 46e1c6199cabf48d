import open_clip
import pytest
import torch
from torch import Tensor

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.encoders.clip.base import resize_positions
from lexiseg.encoders.clip.resnet import Clip, ClipConfig
from lexiseg.encoders.text import text_embed
from tiny import CLIP, pictures, seeded


def build(layers: tuple[int, int, int, int] = (1, 1, 1, 1), seed: int = 0) -> Clip:
    config = ClipConfig(**{name: getattr(CLIP, name) for name in CLIP.__dataclass_fields__} | {"layers": layers})
    return seeded(Clip(config), seed).eval()


def normalised(pixel_values: Tensor) -> Tensor:
    return (pixel_values - torch.tensor(colours.CLIP.mean).view(3, 1, 1)) / torch.tensor(colours.CLIP.std).view(3, 1, 1)


@torch.no_grad()
def test_pictures_are_embedded_as_open_clip_does() -> None:
    clip, images = build(), pictures(64, 64, 3).pixel_values
    expected = clip.clip.encode_image(normalised(images))
    torch.testing.assert_close(clip.encode_image(images), expected, atol=1e-6, rtol=1e-5)
    assert expected.std(0).mean() > 1e-3


@torch.no_grad()
def test_text_embeddings_are_those_of_open_clips_zero_shot_classifier() -> None:
    clip = build()
    asked = Vocabulary.of("cat|kitten, fire hydrant, 猫, sky:stuff")
    templates = [lambda name, t=template: t.format(name) for template in asked.templates]
    tokenizer = open_clip.SimpleTokenizer(context_length=CLIP.context_length)
    expected = open_clip.build_zero_shot_classifier(
        clip.clip, tokenizer, asked.row_names(), templates, num_classes_per_batch=2
    )
    found = text_embed(clip, asked, cache_dir=None)
    torch.testing.assert_close(found, expected.T, atol=1e-6, rtol=1e-5)
    assert (found[0] - found[2]).norm() > 1e-3


@torch.no_grad()
def test_cutting_the_context_behind_the_longest_prompt_changes_nothing() -> None:
    clip, prompts = build(), ["a cat", "a photo of a small red house", "sky"]
    whole = open_clip.SimpleTokenizer(context_length=CLIP.context_length)(prompts)
    tokens = clip.tokenize(prompts)
    assert tokens.shape == (3, 9)
    assert torch.equal(tokens, whole[:, :9])
    torch.testing.assert_close(clip.encode_tokens(tokens), clip.clip.encode_text(whole), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(clip.encode_text(prompts)[0], clip.encode_text(prompts[:1])[0], atol=1e-6, rtol=1e-5)


def test_a_prompt_longer_than_the_context_is_cut_and_answered() -> None:
    tokens = build().tokenize(["word " * 500])
    assert tokens.shape == (1, CLIP.context_length)


@pytest.mark.parametrize("layers", [(1, 1, 1, 1), (1, 2, 1, 3)])
@torch.no_grad()
def test_the_denser_map_holds_clips_own_cells(layers: tuple[int, int, int, int]) -> None:
    clip, images = build(layers), pictures(96, 128, 2).pixel_values
    sparse, dense = clip.trunk(images), clip.trunk(images, stride=16)
    assert sparse.shape[-2:] == (3, 4)
    assert dense.shape[-2:] == (7, 9)
    torch.testing.assert_close(dense[..., 1::2, 1::2], sparse, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(dense[..., 2:3, 2:3], dense[..., 1:2, 1:2])


@torch.no_grad()
def test_cells_between_are_what_a_shifted_picture_shows() -> None:
    """Inside, an even cell of the denser map is an odd one of the picture moved by 16 pixels."""
    clip, images = build(), pictures(160, 160, 1).pixel_values
    moved = images.roll((-16, -16), (-2, -1))
    dense, shifted = clip.trunk(images, stride=16), clip.trunk(moved, stride=32)
    # two cells from the border, where neither padding nor the wrapped rim reaches
    torch.testing.assert_close(dense[..., 4:7:2, 4:7:2], shifted[..., 1:3, 1:3], atol=1e-4, rtol=1e-3)


def test_positions_of_clips_own_grid_stay_as_they_are(rng: torch.Generator) -> None:
    positions = torch.randn(1 + 4, 8, generator=rng)
    assert resize_positions(positions, (2, 2)) is positions
    resized = resize_positions(positions, (3, 5))
    assert resized.shape == (1 + 15, 8)
    assert torch.equal(resized[0], positions[0])
    assert torch.equal(resize_positions(torch.ones(5, 8), (4, 4)), torch.ones(17, 8))


@torch.no_grad()
def test_the_fingerprint_follows_the_text_towers_weights_and_nothing_else() -> None:
    clip = build()
    before = clip.fingerprint
    next(clip.visual.parameters()).add_(1)
    assert clip.fingerprint == before
    clip.clip.ln_final.bias[0] += 1e-3
    assert clip.fingerprint != before


def test_named_sizes_are_open_clips_own() -> None:
    config = ClipConfig.named("RN50x4-quickgelu", dense_stride=16)
    assert (config.embed_dim, config.image_size, config.layers, config.width) == (640, 288, (4, 6, 10, 6), 80)
    assert config.quick_gelu
    assert config.dense_stride == 16
    assert config.feature_dim == 2560
    with pytest.raises(ValueError, match="Known: RN50, "):
        ClipConfig.named("ViT-B-32")


@torch.no_grad()
def test_a_mask_is_embedded_by_its_own_cells_alone() -> None:
    clip = build()
    features = torch.randn(1, CLIP.feature_dim, 2, 3, generator=torch.Generator().manual_seed(1))
    inside = torch.tensor([[True, False, False, True, False, True], [False] * 6]).view(1, 2, 2, 3)
    pool, positions = clip.visual.attnpool, resize_positions(clip.visual.attnpool.positional_embedding, (2, 3))

    found = clip.embed_inside(features, inside)

    cells = features[0].flatten(1).T
    query = pool.q_proj(cells.mean(0) + positions[0])
    chosen = (cells + positions[1:])[inside[0, 0].flatten()]
    heads = []
    for head in range(pool.num_heads):
        part = slice(head * len(query) // pool.num_heads, (head + 1) * len(query) // pool.num_heads)
        scores = torch.stack([query[part] @ pool.k_proj(cell)[part] for cell in chosen]) / len(query[part]) ** 0.5
        values = torch.stack([pool.v_proj(cell)[part] for cell in chosen])
        heads.append(scores.softmax(0) @ values)
    torch.testing.assert_close(found[0, 0], pool.c_proj(torch.cat(heads)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0, 1], pool.c_proj.bias)
