"""What the units do: pictures, trainings, pairs, measurements. Everything that decides a result is an argument."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from lexiseg.core.files import read_json_object, write_atomically
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.captions.nouns import NounFinder
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import PromptConfig, VitClip, VitConfig
from lexiseg.evaluation.plan import inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import from_jsonable
from lexiseg.io.models import save_model
from lexiseg.models.crops import RegionConfig
from lexiseg.models.ovseg import OVSeg
from lexiseg.storybook.choices import Role
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL
from lexiseg.studies.ovseg.measure import (
    Groups,
    Row,
    choose,
    groups_of,
    iou_figures,
    jsonable_choice,
    naming_figures,
    tally_rows,
    under_names,
)
from lexiseg.studies.ovseg.rows import PAPER_ROW
from lexiseg.studies.verdicts import with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, blocks_of, load_network
from lexiseg.training.clip.adaptation import AdaptationRecipe, AdaptationTask, with_clip
from lexiseg.training.clip.contrastive import ClipRecipe, ClipTask
from lexiseg.training.clip.folders import read_vit_clip, write_clip
from lexiseg.training.engine.checkpoints import Checkpoints
from lexiseg.training.engine.run_settings import Reporters, TrainSettings
from lexiseg.training.engine.trainer import run
from lexiseg.training.mining.mine import MiningConfig, mine
from lexiseg.training.segmentation.initial_weights import first_ovseg
from lexiseg.training.segmentation.ovseg import OVSegRecipe
from lexiseg.training.segmentation.run import train_segmenter


def draw(files: Path, out: Path, *, count: int, seed: int, role: Role, vocabulary: str) -> Any:
    """Draws pictures of a role to learn from, annotated with the names of a vocabulary alone, whatever they show."""
    spec = StorybookSpec(role=role, split="train", count=count, seed=seed, vocabulary=Vocabulary.of(vocabulary))
    write_storybook(spec, out, overwrite=True)
    return {"pictures": count}


def train_clip(files: Path, out: Path, *, model: Mapping[str, Any], recipe: Mapping[str, Any], goes_on: bool) -> Any:
    """Trains a ViT CLIP on plain drawn pictures behind the text tower of an OVSeg, and puts it into that OVSeg.

    Args:
        files: where needed units work.
        out: gets `model`.
        model: as `load_network` takes it; its MaskFormer stays.
        recipe: a `ClipRecipe`; the model says how large its CLIP is.
        goes_on: whether the image tower begins as the model's own, its prompts left out; if not, from nothing.
    """
    network = load_network(files, model, OVSeg)
    own = from_jsonable(ClipRecipe, recipe)
    sizes = replace(network.config.clip, prompts=None)
    phases = tuple(replace(phase, image_size=sizes.image_size) for phase in own.phases)
    task = ClipTask(replace(own, model=sizes, phases=phases), text=network.clip, workers=0)
    if goes_on:
        begun = network.clip.state_dict()
        task.clip.load_state_dict({name: begun[name] for name in task.clip.state_dict()})
    run(task, out, origin={"model": dict(model), "recipe": dict(recipe)}, resume=True)
    assert isinstance(task.clip, VitClip)
    save_model(with_clip(network, task.clip.eval()), out / "model", overwrite=True)
    Checkpoints(out, kept=1).delete()
    return {"steps": task.optim_plan.total_steps}


def train_part(files: Path, out: Path, *, recipe: Mapping[str, Any], clip: str, pictures: str) -> Any:
    """Trains a MaskFormer around a CLIP."""
    chosen = from_jsonable(OVSegRecipe, recipe)
    clip_folder, data = files / clip / "model", (files / pictures,)
    settings = TrainSettings(out=out, resume=True, workers=0, clip=clip_folder, data=data)
    train_segmenter(first_ovseg, chosen, settings, Reporters())
    Checkpoints(out, kept=1).delete()
    return {"steps": chosen.steps}


def mine_pairs(files: Path, out: Path, *, model: str, pictures: str, config: Mapping[str, Any]) -> Any:
    """Mines pairs with the original CLIP; nouns are the drawn world's own words."""
    dataset = read_panoptic(files / pictures)
    pairs = mine(
        load_network(files, {"unit": model}, OVSeg),
        dataset,
        from_jsonable(MiningConfig, config),
        out,
        captions=[sample.captions for sample in dataset.samples],
        nouns=NounFinder(vocabulary=ALL),
        resume=True,
    )
    return {"pairs": len(pairs), "words": len(pairs.words)}


def adapt(
    files: Path, out: Path, *, model: str, start: str | None, pairs: Sequence[str], recipe: Mapping[str, Any]
) -> Any:
    """Adapts the original CLIP, or goes on from what another adaptation left."""
    clip = read_vit_clip(files / (start or model) / "model")
    task = AdaptationTask(
        from_jsonable(AdaptationRecipe, recipe), clip, PairDataset(*(files / folder for folder in pairs)), workers=0
    )
    run(task, out, origin={"recipe": dict(recipe), "start": start, "pairs": list(pairs)}, resume=True)
    write_clip(out / "model", task.clip.eval())
    Checkpoints(out, kept=1).delete()
    steps = task.optim_plan.total_steps
    return {"steps": steps, "samples": steps * task.recipe.batch_size}


def measure(
    files: Path,
    out: Path,
    *,
    model: str,
    clip: str | None,
    arm: str,
    val: str,
    test: str,
    rows: Sequence[Mapping[str, Any]],
    views: Mapping[str, Any],
    data: Sequence[str],
    overlap: str,
) -> Any:
    """Chooses on val how each row answers, then measures rows and names of masks on test: drawn pictures.

    Args:
        files: where needed units work.
        out: not used.
        model: the unit of an OVSeg.
        clip: the unit of the CLIP that takes its own's place; None leaves it.
        arm: the CLIP's name; arms are it, and it with a row's name behind.
        val: the unit of pictures to choose on.
        test: the unit of pictures to measure on.
        rows: as `Row`.
        views: as `RegionConfig`, by name: ways of cutting out masks that are to be named.
        data: data sets that the pictures stand for.
        overlap: a vocabulary whose names, asked together with all others, stand for PC-59; the others for A-847.
    """
    network = load_network(files, {"unit": model}, OVSeg)
    if clip is not None:
        network = with_clip(network, read_vit_clip(files / clip / "model"))
        assert isinstance(network, OVSeg)
    asked = [from_jsonable(Row, row) for row in rows]
    chosen = choose(network, read_panoptic(files / val), ALL, asked)
    dataset = read_panoptic(files / test)
    found = tally_rows(network, dataset, ALL, chosen.values(), _views(views), blocks=MOST_BLOCKS)
    shared = frozenset(Vocabulary.of(overlap).names)
    is_shared = np.array([name in shared for name in found.names])
    standing = {"PC-59": is_shared, "A-847": ~is_shared}
    groups = {**groups_of(found.is_seen), **standing}
    parts: dict[str, tuple[Sequence[Any], Callable[[Any, Groups], dict[str, float]]]] = {
        **{name: (found.pixels[answering], iou_figures) for name, answering in chosen.items()},
        **{key: (blocks, naming_figures) for key, blocks in found.named.items()},
    }
    return {
        "arms": {
            arm_of(arm, part): with_blocks(
                blocks, lambda counts, of=figures: under_names(of(counts, groups), data, standing)
            )
            for part, (blocks, figures) in parts.items()
        },
        "choices": {name: jsonable_choice(answering) for name, answering in chosen.items()},
    }


def count_real(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    name: str,
    pictures: Mapping[str, Any],
    rows: Sequence[Any],
    views: Mapping[str, Any],
    parts: Sequence[int],
    of: int,
) -> Any:
    """Counts what needs no training and no val on a real data set: the model as it is published, and its parts.

    Args:
        files: not used.
        out: gets a JSON for every part of the pictures; one that is there stays.
        model: as `load_network` takes it.
        name: of the data set in the catalogue.
        pictures: as `real_pictures` tells them.
        rows: what is counted, each with one way of answering.
        views: as `RegionConfig`, by name: ways of cutting out masks that are to be named.
        parts: which parts of them.
        of: how many parts there are.
    """
    out.mkdir(parents=True, exist_ok=True)
    network, dataset = load_network(files, model, OVSeg), open_dataset(name, Path(pictures["root"]))
    vocabulary = Vocabulary.of(CATALOGUE[name].vocabulary)
    asked = {row.name: row.candidates()[0] for row in (from_jsonable(Row, row) for row in rows)}
    for part in parts:
        if (target := out / f"{part}.json").is_file():
            continue
        shown = replace(dataset, samples=dataset.samples[: pictures["count"]][part::of])
        found = tally_rows(network, shown, vocabulary, asked.values(), _views(views))
        counts = {
            "is_seen": found.is_seen.tolist(),
            "pixels": {row: found.pixels[answering][0].tolist() for row, answering in asked.items()},
            "named": {key: blocks[0].tolist() for key, blocks in found.named.items()},
        }
        write_atomically(target, json.dumps(counts))
    return {"choices": {row: jsonable_choice(answering) for row, answering in asked.items()}}


def _views(views: Mapping[str, Any]) -> dict[str, RegionConfig]:
    return {name: from_jsonable(RegionConfig, regions) for name, regions in views.items()}


def add_real(files: Path, out: Path, *, arms: Mapping[str, str], data: str, parts: Sequence[Sequence[Any]]) -> Any:
    """Adds up what `count_real` has counted.

    Args:
        files: where needed units work.
        out: not used.
        arms: the arm of every row and of every kind of masks that are named.
        data: the data set's name in the papers.
        parts: the unit and the number of every part.
    """
    counted = [read_json_object(files / unit / f"{part}.json", ValueError) for unit, part in parts]
    groups = groups_of(np.array(counted[0]["is_seen"]))
    return {
        "arms": {
            arms[row]: with_blocks(
                blocks_of([np.array(part[kind][row]) for part in counted]),
                lambda counts, of=figures: under_names(of(counts, groups), [data], ()),
            )
            for kind, figures in (("pixels", iou_figures), ("named", naming_figures))
            for row in counted[0][kind]
        }
    }


def arm_of(clip: str, row: str) -> str:
    """The arm of a CLIP in a row; that of the papers' tables is the CLIP's own."""
    return clip if row == PAPER_ROW else f"{clip}, {row}"


def take_time(files: Path, out: Path, *, model: str, pictures: str, count: int) -> Any:
    """Seconds per picture of MaskFormer, and of CLIP on all its crops (A.9); on one thread of whatever runs it."""
    network, dataset = load_network(files, {"unit": model}, OVSeg), read_panoptic(files / pictures)
    seconds: dict[str, list[float]] = {"MaskFormer": [], "CLIP on the crops": []}
    for name, taken in _times(network, dataset, count):
        seconds[name].append(taken)
    blocks = {name: np.array_split(np.array(taken), min(MOST_BLOCKS, count)) for name, taken in seconds.items()}
    return {
        "arms": {
            name: with_blocks(
                [np.array([part.sum(), len(part)]) for part in parts],
                lambda sums: {"seconds per picture": float(sums[0] / sums[1])},
            )
            for name, parts in blocks.items()
        }
    }


def _times(model: OVSeg, dataset: Dataset, count: int) -> Iterator[tuple[str, float]]:
    settings = EvaluationSettings(task="semantic", batch_size=1, limit=count)
    with inference(model):
        plan = plan_evaluation(model, dataset, ALL, settings)
        for batch in planned_batches(model, plan, settings, [], lambda done, total: None):
            begun = time.perf_counter()
            proposals = model.propose(batch.images)
            proposed = time.perf_counter()
            crops = model.encode(batch.images, proposals).crops
            crops.embed(torch.ones(proposals.mask_logits.shape[:2], dtype=torch.bool))
            yield "MaskFormer", proposed - begun
            yield "CLIP on the crops", time.perf_counter() - proposed


def count_cost(files: Path, out: Path, *, clip: str, prompts: Mapping[str, Any]) -> Any:
    """Multiply-adds of CLIP's image tower for one crop, at full size, without weights, with each kind of prompts (A.6).

    Args:
        files: not used.
        out: not used.
        clip: open_clip's name of a ViT.
        prompts: as `PromptConfig` by arm; None for none.
    """
    arms: dict[str, Any] = {}
    for arm, config in prompts.items():
        sizes = VitConfig.named(clip, prompts=None if config is None else from_jsonable(PromptConfig, config))
        with torch.device("meta"), torch.no_grad():
            tower, side = VitClip(sizes).eval(), sizes.image_size
            crop, mask = torch.empty(1, 3, side, side), torch.empty(1, side, side, dtype=torch.bool)
            with FlopCounterMode(display=False) as counter:
                tower.encode_regions(crop, mask)
        found = counter.get_total_flops() / 2e9
        arms[arm] = {"GMAC per crop": {"value": found, "blocks": [found] * 2}}  # a count has no spread
    return {"arms": arms}
