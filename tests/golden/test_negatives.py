"""Which words compete in the shipped models: judged on all pairs of the drawn world's lists, both ways."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lexiseg
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.text import text_embed
from lexiseg.io.models import load_model
from lexiseg.io.shipped import SHIPPED, shipped_folder
from lexiseg.models.vocabulary_embedding import embed_vocabulary
from lexiseg.storybook import draw_scene

DRAWN_AS = json.loads((Path(lexiseg.__file__).parent / "storybook" / "dusk_drawings.json").read_text())
TRAINING = Vocabulary.of("storybook")
APART = {"armchair"}
"""Drawn as a chair, which ADE20K has apart."""


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("listed", ["storybook-all", "storybook-dusk"])
def test_a_training_word_competes_with_all_that_mean_something_else_and_with_no_other(
    name: str, listed: str, tmp_path: Path
) -> None:
    model = load_model(shipped_folder(name))
    rows = text_embed(model.text_encoder, model.phrased(TRAINING), cache_dir=None)

    for concept in Vocabulary.of(listed).concepts:
        for word in concept.names:
            asked = Vocabulary.of([word], templates=model.phrased(TRAINING).templates)
            found = embed_vocabulary(
                model.text_encoder, asked, model.phrased(TRAINING), negatives=True, general=(), cache_dir=tmp_path
            )
            competing = {
                own.name
                for own, row in zip(TRAINING.concepts, _first_rows(rows), strict=True)
                if bool(((found.text_embed[1:] - row).abs().sum(-1) < 1e-3).any())
            }
            meant = set() if word in APART else {DRAWN_AS.get(concept.name, concept.name)}
            assert competing == set(TRAINING.names) - meant, word


def _first_rows(rows: torch.Tensor) -> list[torch.Tensor]:
    owners = TRAINING.row_concepts()
    return [rows[owners.index(place)] for place in range(len(TRAINING))]


def test_a_sky_is_no_snow() -> None:
    model = lexiseg.load()

    for number in (3, 5, 7):  # scenes of a sky over snow
        picture = draw_scene("novel", "val", number).picture
        result = model.segment(picture, "owl, cat|kitten, castle, snow:stuff")
        snow = [segment.id for segment in result.segments if segment.name == "snow"]
        assert np.isin(result.segmentation[:40], snow).mean() < 0.02, number


def test_the_best_region_is_there_where_the_word_is() -> None:
    model = lexiseg.load()
    scenes = [draw_scene("novel", "val", number) for number in range(8)]

    found = [[s.score for s in model.find(scene.picture, "owl").segments] for scene in scenes]

    assert [bool(scores) for scores in found] == ["owl" in {s.name for s in scene.segments} for scene in scenes]
    assert all(0.5 < score <= 1 for scores in found for score in scores)
