"""No training moves torch's own generator, which belongs to whoever calls it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from drawn_pairs import write_pairs
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former
from lexiseg.io.models import save_model
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training import recipes
from lexiseg.training.clip.contrastive import Phase
from lexiseg.training.clip.folders import write_clip
from lexiseg.training.engine.run_settings import Recipe
from lexiseg.training.engine.task import Evaluation
from lexiseg.training.engine.validation import Validation
from lexiseg.training.launch import RUNNERS, train
from lexiseg.training.recipes.opsnet_plus import plus
from lexiseg.training.segmentation import finetune_run
from lexiseg.training.segmentation.closed_set import ClosedSet
from lexiseg.training.segmentation.criterion import CriterionConfig

PHASES = (Phase(steps=1, batch_size=4, image_size=64, view_share=0.5, lr=1e-3),)
SMALL: dict[str, Any] = {
    "vocabulary": Vocabulary.of("cat, dog, sky:stuff, grass:stuff"),
    "framing": Framing(image_size=64, flip_probability=0.5),
    "num_pictures": 2,
    "steps": 1,
    "batch_size": 2,
    "criterion": CriterionConfig(num_points=64),
}
OPSNET = replace(recipes.opsnet_tiny(), segmenter=tiny.RESNET, **SMALL)
OVSEG = replace(
    recipes.maskformer_tiny(),
    model=replace(tiny.ovseg().config, training_vocabulary=SMALL["vocabulary"]),
    **{key: value for key, value in SMALL.items() if key not in ("vocabulary", "criterion")},
)
FCCLIP = replace(
    recipes.fcclip_tiny(),
    model=replace(tiny.fcclip().config, training_vocabulary=SMALL["vocabulary"]),
    **{key: value for key, value in SMALL.items() if key != "vocabulary"},
)
KINDS: list[tuple[Recipe, tuple[str, ...]]] = [
    (replace(recipes.clip_tiny(), model=tiny.CLIP, phases=PHASES), ()),
    (replace(recipes.clip_tiny_words(), phases=PHASES, synonym_cosine=0.99999), ("start=resnet",)),
    (replace(recipes.mask2former_tiny(), segmenter=tiny.RESNET, **SMALL), ()),
    (OPSNET, ("clip=resnet",)),
    (replace(plus(OPSNET), steps=1, num_labelled=2), ("start=opsnet",)),
    (OVSEG, ("clip=vit", "start=mask2former")),
    (FCCLIP, ("clip=resnet",)),
    (replace(recipes.finetune(), steps=1, batch_size=2), ("start=ovseg", "data=pictures")),
    (replace(recipes.adapt_tiny_mpt(), steps=1, batch_size=4), ("start=vit", "data=pairs")),
    (replace(recipes.prompt_tiny(), steps=1, batch_size=4, length=4), ("start=vit", "data=pairs")),
]
"""A recipe of each kind, and what it is given."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that trainings begin from."""
    root = tmp_path_factory.mktemp("given")
    write_pairs(root / "pairs")
    baseline = tiny.seeded(ClosedSet(tiny.RESNET, tiny.TRAINING))
    write_mask2former(
        root / "mask2former",
        tiny.RESNET,
        baseline.segmenter.state_dict(),
        class_weight=baseline.classify.weight.detach(),
        class_bias=baseline.classify.bias.detach(),
        names=tiny.TRAINING.names,
    )
    write_storybook(StorybookSpec(role="novel", split="train", count=4, size=(64, 64)), root / "pictures")
    write_clip(root / "resnet", tiny.seeded(Clip(tiny.CLIP)))
    write_clip(root / "vit", tiny.seeded(VitClip(replace(tiny.VIT, prompts=None))))
    save_model(tiny.model(), root / "opsnet")
    save_model(tiny.ovseg(), root / "ovseg")
    return {path.name: path for path in root.iterdir()}


def test_every_kind_of_recipe_is_tried() -> None:
    assert {type(recipe) for recipe, _ in KINDS} == RUNNERS.keys()


@pytest.mark.parametrize(("recipe", "options"), KINDS, ids=[type(recipe).__name__ for recipe, _ in KINDS])
def test_a_whole_training_leaves_torchs_generator_as_it_was(
    recipe: Recipe,
    options: tuple[str, ...],
    given: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = iter(range(1, 100))

    def better(validation: Validation, network: object) -> Evaluation:
        return Evaluation(figures={"pq": next(figures) / 100})

    monkeypatch.setattr("lexiseg.training.segmentation.task.evaluate_on", better)
    monkeypatch.setattr(finetune_run, "evaluate_on", better)
    settings = {name: given[folder] for name, folder in (option.split("=") for option in options)}
    before = torch.random.get_rng_state()

    folder = train(recipe, tmp_path, workers=0, **settings)

    assert (folder / "config.json").is_file()
    assert torch.equal(torch.random.get_rng_state(), before)
