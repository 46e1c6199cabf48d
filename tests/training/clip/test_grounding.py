"""Grounding: words look for their cells, and only the image tower learns from it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import tiny
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.io.checkpoint import save_folder
from lexiseg.io.models import save_model
from lexiseg.layers.pooling import mask_pool
from lexiseg.layers.spatial_adapter import SpatialAdapter
from lexiseg.models.opsnet import OPSNet
from lexiseg.training.clip.contrastive import Phase
from lexiseg.training.clip.folders import read_resnet_clip
from lexiseg.training.clip.grounding import GroundingRecipe, GroundingTask, collate_words, grounding_loss, word_scores
from lexiseg.training.clip.run import train_grounding
from lexiseg.training.engine.run_settings import Reporters, TrainSettings
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes.storybook import clip_tiny, clip_tiny_words
from lexiseg.training.segmentation.opsnet import around_clip

PHASES = (
    Phase(steps=2, batch_size=6, image_size=64, view_share=0.5, lr=2e-3),
    Phase(steps=2, batch_size=4, image_size=64, view_share=0.0, scene_share=1.0, lr=1e-4),
)
RECIPE = GroundingRecipe(phases=PHASES, optim=clip_tiny().optim, synonym_cosine=0.99999)
"""To an untrained text tower all words are much alike."""


def task(recipe: GroundingRecipe = RECIPE) -> GroundingTask:
    """A grounding of an untrained tiny CLIP, always the same."""
    return GroundingTask(recipe, tiny.seeded(Clip(tiny.CLIP)), workers=0)


def test_a_word_is_scored_by_the_cells_that_look_like_it(rng: torch.Generator) -> None:
    cells, text_embed = torch.randn(2, 12, 8, generator=rng), F.normalize(torch.randn(3, 8, generator=rng), dim=-1)
    cells[1, 5] = 4 * text_embed[2]

    scores = word_scores(cells, text_embed, gather_scale=1e4)

    best = (F.normalize(cells, dim=-1) @ text_embed.T).amax(1)
    torch.testing.assert_close(scores, best, atol=1e-3, rtol=0)
    assert scores[1, 2] > 0.999


def test_without_a_preference_a_word_takes_the_mean_as_mask_pooling_does(rng: torch.Generator) -> None:
    clip_map, text_embed = torch.randn(2, 8, 3, 4, generator=rng), F.normalize(torch.randn(3, 8, generator=rng), dim=-1)

    scores = word_scores(clip_map.flatten(2).transpose(1, 2), text_embed, gather_scale=0.0)

    pooled = mask_pool(clip_map, torch.ones(2, 1, 12, 16))[:, 0]
    torch.testing.assert_close(scores, pooled @ text_embed.T, atol=1e-6, rtol=0)


def test_the_loss_is_what_its_slow_twin_says(rng: torch.Generator) -> None:
    scores = torch.randn(3, 4, generator=rng)
    is_named = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    is_same = torch.eye(4, dtype=torch.bool)
    is_same[0, 1] = is_same[1, 0] = True  # a cat is a kitten

    def has(picture: int, word: int) -> bool:
        return any(is_named[picture, other] and is_same[other, word] for other in range(4))

    terms = []
    for picture, word in is_named.nonzero().tolist():
        own = scores[picture, word].exp()
        words = sum(scores[picture, w].exp() for w in range(4) if not has(picture, w))
        pictures = sum(scores[p, word].exp() for p in range(3) if not has(p, word))
        terms += [-math.log(own / (own + words)), -math.log(own / (own + pictures))]

    loss = grounding_loss(scores, is_named, is_same)

    assert float(loss) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    moved = scores.clone()
    moved[0, 1] += 5  # how much the picture of the cat looks like a kitten counts for nobody but the kitten's own
    assert torch.equal(grounding_loss(moved, is_named, is_same), loss)


def test_one_picture_that_shows_every_word_has_nothing_to_tell_apart() -> None:
    scores = torch.zeros(1, 2, requires_grad=True)

    loss = grounding_loss(scores, torch.ones(1, 2, dtype=torch.bool), torch.eye(2, dtype=torch.bool))
    loss.backward()

    assert loss == 0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros(1, 2))


def test_pictures_come_with_everything_that_they_show() -> None:
    drawn = torch.zeros(3, 4, 4, dtype=torch.uint8)

    batch = collate_words([(drawn, ("cat", "grass")), (drawn, ("grass",))])

    assert batch.words == ("cat", "grass")
    assert batch.is_named.tolist() == [[True, True], [False, True]]


def test_grounding_learns_a_few_pictures() -> None:
    optim = replace(RECIPE.optim, weight_decay=0.0, lr=2e-3)
    grounding = task(replace(RECIPE, optim=optim, phases=(replace(PHASES[0], steps=30, batch_size=8),)))
    same_batch = next(grounding.batches(0))
    optimizer = grounding.optim_plan.optimizer(grounding.parameter_groups())
    for group in optimizer.param_groups:
        group["lr"] = 2e-3

    losses = []
    for step in range(30):
        optimizer.zero_grad()
        loss = grounding.losses(same_batch, step)["grounding"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.75 * losses[0]  # words of an untrained text tower lie close together


def test_trunk_and_output_projection_learn_and_nothing_else(tmp_path: Path) -> None:
    grounding = task()
    before = tiny.state(grounding.clip)

    run(grounding, tmp_path)

    after = grounding.clip.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    trunk = {n for n in after if n.startswith("clip.visual.") and ".attnpool." not in n}
    assert changed == trunk | {"clip.visual.attnpool.c_proj.weight", "clip.visual.attnpool.c_proj.bias"}


def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(task(), tmp_path / "whole")

    first = run(task(), tmp_path / "parts", stop_after=1)
    second = run(task(), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_scenes_are_drawn_where_a_phase_asks_for_them() -> None:
    few, many = ([len(words) for words in _words(phase)] for phase in (replace(PHASES[0], view_share=0.0), PHASES[1]))

    assert max(few) <= 2  # a close-up: a thing, and what it stands on
    assert min(many) >= 4


def _words(phase: Phase) -> list[list[str]]:
    batch = next(task(replace(RECIPE, phases=(replace(phase, batch_size=12),))).batches(0))
    return [[word for word, is_here in zip(batch.words, row, strict=True) if is_here] for row in batch.is_named]


def test_a_template_holds_the_word() -> None:
    with pytest.raises(ValueError, match=r"must hold \{\} for the word"):
        replace(RECIPE, template="a photo")


def test_a_clip_without_its_pool_gets_one_of_the_adapters_making(tmp_path: Path) -> None:
    model = tiny.model()
    lean = OPSNet(replace(model.config, clip=replace(tiny.CLIP, has_pool=False)))
    lean.load_state_dict({name: value for name, value in model.state_dict().items() if ".attnpool." not in name})
    save_model(lean, tmp_path / "lean")

    clip = read_resnet_clip(tmp_path / "lean")

    features = clip.trunk(tiny.pictures().pixel_values)
    torch.testing.assert_close(clip.pool(features), model.adapter(features).mean((2, 3)), atol=1e-5, rtol=1e-5)
    again = SpatialAdapter(tiny.CLIP.feature_dim, tiny.CLIP.embed_dim)
    again.fold(clip.visual.attnpool.v_proj, clip.visual.attnpool.c_proj)
    assert torch.equal(again.weight, model.adapter.weight)
    assert torch.equal(again.bias, model.adapter.bias)


def test_an_opsnet_goes_on_with_its_grounded_clip_and_all_else_as_it_was(tmp_path: Path) -> None:
    model = tiny.model()
    start = save_folder(tmp_path / "clip", tiny.CLIP, model.clip.state_dict())
    settings = TrainSettings(out=tmp_path / "run", start=start, workers=0)
    grounded = read_resnet_clip(train_grounding(RECIPE, settings, Reporters()))

    other = around_clip(model, grounded)

    assert other.config == model.config
    old, new = model.state_dict(), other.state_dict()
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert all(name in same for name in old if not name.startswith(("clip.clip.visual.", "adapter.")))
    assert not {"adapter.weight", "clip.clip.visual.conv1.weight"} & same
    adapter = SpatialAdapter(tiny.CLIP.feature_dim, tiny.CLIP.embed_dim)
    adapter.fold(grounded.visual.attnpool.v_proj, grounded.visual.attnpool.c_proj)
    assert torch.equal(other.adapter.weight, adapter.weight)
    assert torch.equal(other.adapter.bias, adapter.bias)
    asked = Vocabulary.of("cat, sky:stuff", tiny.TRAINING.templates)
    assert torch.equal(
        other.embed_vocabulary(asked, negatives=False).text_embed,
        model.embed_vocabulary(asked, negatives=False).text_embed,
    )


def test_an_opsnet_refuses_a_clip_that_embeds_words_otherwise() -> None:
    with pytest.raises(ValueError, match="only if both have the same text tower"):
        around_clip(tiny.model(), tiny.seeded(Clip(tiny.CLIP), seed=5))


def test_an_opsnet_refuses_a_clip_that_computes_otherwise_with_the_same_weights() -> None:
    model = tiny.model()
    other = Clip(replace(tiny.CLIP, quick_gelu=not tiny.CLIP.quick_gelu))
    other.load_state_dict(model.clip.state_dict())

    with pytest.raises(ValueError, match="only if both have the same text tower"):
        around_clip(model, other)


def test_an_opsnet_refuses_a_clip_without_its_pool() -> None:
    with pytest.raises(ValueError, match="give a CLIP that has one"):
        around_clip(tiny.model(), Clip(replace(tiny.CLIP, has_pool=False)))


def test_grounding_asks_for_its_clip(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="goes on from a CLIP: train one with 'lexiseg train clip-tiny'"):
        train_grounding(clip_tiny_words(), TrainSettings(out=tmp_path), Reporters())
