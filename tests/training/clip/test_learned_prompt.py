"""SimBaseline's learned prompt: vectors before every word, learned on crops of true segments."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tiny
from drawn_pairs import write_pairs
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.training.clip.learned_prompt import LearnedPromptTask, few_of_each
from lexiseg.training.engine.trainer import run
from lexiseg.training.recipes.ovseg import prompt_simbaseline

PLAIN = replace(tiny.VIT, prompts=None)
RECIPE = replace(prompt_simbaseline(), length=4, steps=4, batch_size=6, shots=5)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairDataset:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs")


@pytest.fixture
def clip() -> VitClip:
    return tiny.seeded(VitClip(PLAIN)).eval()


def test_only_the_prompt_learns(clip: VitClip, pairs: PairDataset, tmp_path: Path) -> None:
    before = tiny.state(clip)
    task = LearnedPromptTask(RECIPE, clip, pairs, workers=0)
    vectors = task.prompt.vectors.detach().clone()

    run(task, tmp_path)

    assert tiny.same(before, tiny.state(clip))
    assert not torch.equal(vectors, task.prompt.vectors)
    assert vectors.shape == (4, PLAIN.text_width)


def test_a_resumed_run_shows_the_losses_of_an_uninterrupted_one(
    clip: VitClip, pairs: PairDataset, tmp_path: Path
) -> None:
    whole = run(LearnedPromptTask(RECIPE, clip, pairs, workers=0), tmp_path / "whole")

    first = run(LearnedPromptTask(RECIPE, clip, pairs, workers=0), tmp_path / "parts", stop_after=2)
    second = run(LearnedPromptTask(RECIPE, clip, pairs, workers=0), tmp_path / "parts", resume=True)

    assert first + second == whole


def test_the_loss_is_the_cross_entropy_of_crops_among_the_prompted_words(clip: VitClip, pairs: PairDataset) -> None:
    task = LearnedPromptTask(RECIPE, clip, pairs, workers=0)
    batch = next(task.batches(0))

    found = task.losses(batch, 0)["classes"]

    words = F.normalize(task.prompt.before(clip).encode_text(pairs.words), dim=-1)
    crops = F.normalize(clip.encode_image(batch.crops), dim=-1)
    expected = F.cross_entropy(crops @ words.T * clip.clip.logit_scale.exp(), batch.word_ids)
    torch.testing.assert_close(found.detach(), expected.detach(), atol=0.05, rtol=0.05)  # bf16


def test_every_word_gives_as_many_pairs_as_there_are_shots() -> None:
    word_ids = np.array([0, 0, 0, 1, 0, 2, 1, 0, 1, 1], np.int32)

    chosen = few_of_each(word_ids, 3, seed=0)

    assert chosen == sorted(set(chosen))
    assert np.bincount(word_ids[chosen]).tolist() == [3, 3, 1]
    assert chosen == few_of_each(word_ids, 3, seed=0)
    assert any(few_of_each(word_ids, 3, seed=seed) != chosen for seed in range(1, 9))


def test_one_word_is_nothing_to_learn_from(clip: VitClip, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got pairs of 1"):
        LearnedPromptTask(RECIPE, clip, write_pairs(tmp_path / "one", count=1), workers=0)
