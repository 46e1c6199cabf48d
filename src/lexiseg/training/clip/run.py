"""Trainings of CLIPs and of what belongs to them, from a recipe to a folder."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from lexiseg.data.pairs.format import PairDataset
from lexiseg.encoders.clip.vit import VitClip
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import load_model, save_model, system_of
from lexiseg.io.shipped import shipped_folder
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.training.clip.adaptation import AdaptationRecipe, AdaptationTask, with_clip
from lexiseg.training.clip.contrastive import ClipRecipe, ClipTask
from lexiseg.training.clip.folders import read_clip, read_resnet_clip, read_vit_clip, write_clip, write_prompt
from lexiseg.training.clip.grounding import GroundingRecipe, GroundingTask
from lexiseg.training.clip.learned_prompt import LearnedPromptRecipe, LearnedPromptTask
from lexiseg.training.engine.record import trained_by
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, model_folder, overridden, run_task


@contextmanager
def threads_beside(workers: int) -> Generator[None]:
    """Leaves a core to each process that draws: with all of two cores for itself, a step takes a fifth longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - workers))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_clip(recipe: ClipRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a CLIP from nothing, or behind the text tower of another: the shipped OPSNet's if no --clip is given."""
    text = read_clip(settings.clip or shipped_folder()) if recipe.locks_text else None
    task = ClipTask(recipe, text=text, device=settings.device, workers=settings.workers)
    origin = {} if text is None else {"text": text.fingerprint}
    return _train_on_drawn(task, settings, reporters, {"recipe": to_jsonable(recipe), **origin})


def train_grounding(recipe: GroundingRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Grounds a CLIP: what comes of it is a CLIP folder again, with the same text tower."""
    if settings.start is None:
        raise ValueError(
            "this recipe goes on from a CLIP: train one with 'lexiseg train clip-tiny', then pass its folder, or that "
            "of a model around such a CLIP, as --start."
        )
    clip = read_resnet_clip(settings.start)
    origin = {"recipe": to_jsonable(recipe), "start": weights_hash(clip.state_dict())}
    task = GroundingTask(recipe, clip, device=settings.device, workers=settings.workers)
    return _train_on_drawn(task, settings, reporters, origin)


def _train_on_drawn(
    task: ClipTask | GroundingTask, settings: TrainSettings, reporters: Reporters, origin: Mapping[str, object]
) -> Path:
    with threads_beside(settings.workers):
        run_task(task, settings, reporters, origin)
    return write_clip(model_folder(settings), task.clip)


def train_adaptation(recipe: AdaptationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Adapts a CLIP to masked crops.

    What comes of it is of the kind that it began from: of a CLIP folder a CLIP folder, of an OVSeg folder that OVSeg
    with the adapted CLIP, which also lies beside it alone, in `clip`.
    """
    recipe = overridden(recipe, settings)
    clip, whole, pairs, origin = _start_and_pairs(settings)
    task = AdaptationTask(recipe, clip, pairs, device=settings.device, workers=settings.workers)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe), **origin})
    adapted, folder = task.clip.cpu().eval(), model_folder(settings)
    if whole is None:
        return write_clip(folder, adapted)
    write_clip(settings.out / "clip", adapted)
    made = with_clip(whole, adapted)
    made.provenance = trained_by(recipe, settings)
    return save_model(made, folder, overwrite=True)


def train_prompt(recipe: LearnedPromptRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a learned prompt; its folder is what --prompt takes."""
    recipe = overridden(recipe, settings)
    clip, _, pairs, origin = _start_and_pairs(settings)
    task = LearnedPromptTask(recipe, clip, pairs, device=settings.device, workers=settings.workers)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe), **origin})
    return write_prompt(model_folder(settings), task.prompt.cpu())


def _start_and_pairs(
    settings: TrainSettings,
) -> tuple[VitClip, OpenVocabularySegmenter | None, PairDataset, dict[str, object]]:
    """The CLIP to go on from; the model it came in, if that shows it crops; its pairs; what identifies them all."""
    if settings.start is None:
        raise ValueError(
            "this recipe goes on from a CLIP: train one with 'lexiseg train clip-vit-tiny', then pass its folder, or "
            "that of a model around such a CLIP, as --start."
        )
    if not settings.data:
        raise ValueError("this recipe needs pairs of crops and words: make them with 'lexiseg mine', then pass --data.")
    whole = load_model(settings.start) if system_of(settings.start) is not None else None
    if whole is not None and not whole.encodes_crops:
        whole = None
    clip = read_vit_clip(settings.start) if whole is None else whole.clip
    pairs = PairDataset(*settings.data)
    return clip, whole, pairs, {"start": weights_hash((whole or clip).state_dict()), "pairs": len(pairs)}
