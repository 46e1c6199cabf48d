"""What the jobs do: pictures, pairs, trainings, measurements. Everything that decides a result is an argument."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.pairs.format import PairDataset
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.io.models import load_model, save_model
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, BASE
from lexiseg.training.clip.adaptation import AdaptationRecipe, AdaptationTask, with_clip
from lexiseg.training.clip.folders import read_vit_clip, write_clip
from lexiseg.training.engine.run_settings import TrainSettings
from lexiseg.training.engine.trainer import run
from lexiseg.training.launch import train
from lexiseg.training.mining.mine import MiningConfig, mine
from ovseg_study.measure import Row, choose, count


def draw(root: Path, out: Path, *, role: Role, split: Split, count: int, seed: int) -> Any:
    """Draws pictures; those to learn from are annotated with the seen names alone, whatever they show."""
    vocabulary = BASE if split == "train" else None
    write_storybook(
        StorybookSpec(role=role, split=split, count=count, seed=seed, vocabulary=vocabulary), out, overwrite=True
    )
    return {"pictures": count}


def train_part(root: Path, out: Path, *, recipe: str, clip: str | None = None) -> Any:
    """Trains a CLIP or a MaskFormer by a recipe of `lexiseg train`."""
    folder = None if clip is None else Path(root / clip) / "model"
    train(recipe, TrainSettings(out=out, resume=True, clip=folder))
    return {"recipe": recipe}


def join(root: Path, out: Path, *, clip: str | None, maskformer: str, weights: Sequence[str]) -> Any:
    """Puts a CLIP into an OVSeg whose MaskFormer was trained with its text tower.

    Args:
        root: folders may be given relative to it.
        out: gets `model`.
        clip: a CLIP folder, or any model's; None keeps the OVSeg's own.
        maskformer: the folder of an OVSeg.
        weights: hashes, which tell these folders from others of their name.
    """
    model = _load(root / maskformer)
    save_model(model if clip is None else with_clip(model, read_vit_clip(root / clip)), out / "model", overwrite=True)
    return {"weights": list(weights)}


def mine_pairs(root: Path, out: Path, *, model: str, pictures: str, config: Mapping[str, Any]) -> Any:
    """Mines pairs with the original CLIP; nouns are the drawn world's own words."""
    dataset = read_panoptic(root / pictures)
    pairs = mine(
        _load(root / model / "model"),
        dataset,
        from_jsonable(MiningConfig, config),
        out,
        captions=[sample.captions for sample in dataset.samples],
        nouns=NounFinder(vocabulary=ALL),
        resume=True,
    )
    return {"pairs": len(pairs), "words": len(pairs.words)}


def adapt(
    root: Path, out: Path, *, model: str, start: str | None, pairs: Sequence[str], recipe: Mapping[str, Any]
) -> Any:
    """Adapts the original CLIP, or goes on from what another adaptation left."""
    clip = read_vit_clip(root / (start or model) / "model")
    task = AdaptationTask(
        from_jsonable(AdaptationRecipe, recipe), clip, PairDataset(*(root / folder for folder in pairs)), workers=0
    )
    run(task, out, origin={"recipe": recipe, "start": start, "pairs": list(pairs)}, resume=True)
    write_clip(out / "model", task.clip.eval())
    for checkpoint in out.glob("training*.pt"):  # they have the optimiser too, and nobody goes on with a finished job
        checkpoint.unlink()
    steps = task.optim_plan.total_steps
    return {"steps": steps, "samples": steps * task.recipe.batch_size}


def measure(
    root: Path,
    out: Path,
    *,
    model: str,
    clip: str | None,
    val: str,
    test: str,
    rows: Sequence[Mapping[str, Any]],
    views: Mapping[str, Any],
) -> Any:
    """Chooses on val how each row answers, then measures rows and top-1 on test.

    Returns:
        `rows`: for each its choice and its figures on test; `top-1` as `measure.count` gives it.
    """
    network = _load(root / model / "model")
    if clip is not None:
        network = with_clip(network, read_vit_clip(root / clip / "model"))
    chosen = choose(network, read_panoptic(root / val), [from_jsonable(Row, row) for row in rows])
    looks = {name: from_jsonable(RegionConfig, regions) for name, regions in views.items()}
    figures, top_one = count(network, read_panoptic(root / test), chosen.values(), looks)
    return {
        "rows": {name: {"choice": to_jsonable(choice), **figures[choice]} for name, choice in chosen.items()},
        "top-1": top_one,
    }


def _load(folder: Path) -> OVSeg:
    model = load_model(folder)
    if not isinstance(model, OVSeg):
        raise ValueError(f"expected the folder of an OVSeg, got one of an {type(model).__name__} in {folder}.")
    return model
