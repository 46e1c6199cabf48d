"""Fine-tuning from a model and a folder of pictures to a model folder, with what it gained and what it lost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from lexiseg.core import processes
from lexiseg.core.errors import ModelError, UsageError
from lexiseg.core.files import real, write_atomically
from lexiseg.core.messages import few
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import load_part
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.categories import vocabulary_for
from lexiseg.data.census import PixelCount, take_census
from lexiseg.data.dataset import MASK_KINDS, Dataset, crowds_as_things
from lexiseg.io.checkpoint import weights_hash
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import load_model, save_model
from lexiseg.io.shipped import SHIPPED, shipped_folder, unknown_concepts
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.export import StorybookSpec
from lexiseg.training.engine.checkpoints import Checkpoints
from lexiseg.training.engine.record import trained_by
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, overridden, run_task, write_model
from lexiseg.training.engine.task import FIGURES, Evaluation
from lexiseg.training.engine.validation import evaluate_on
from lexiseg.training.segmentation.data_check import DataReport, look_at_data, median_side
from lexiseg.training.segmentation.finetune import (
    FinetuneData,
    FinetuneRecipe,
    finetune_task,
    join_vocabularies,
    set_training_vocabulary,
)
from lexiseg.training.segmentation.run import draw_for_run, report_findings

REPORT_FILE = "finetune.json"
DRAWN_OLD = 1600
"""Pictures of the drawn world that are drawn where old data are what a shipped model was trained on."""
OLD_SEED = 1
"""Seed of those pictures: not that of the ones that the model has seen, so that those held out are new to it."""
SHARES = tuple(tenths / 10 for tenths in range(10, 0, -1))
"""How far towards the trained weights a model may end; the first is taken at which its old words lose little enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a fine-tuning gained and lost, on pictures that it never trained on. Figures are fractions."""

    figure: str
    """What is measured: pq, miou or ap, as the data have it."""
    before: float
    after: float
    old_before: float | None
    """Of the old data and words; None without old data."""
    old_after: float | None
    best_step: int
    share: float
    """How far the weights went from the start towards that step's, in (0, 1]: all the way unless old words lost too
    much there."""
    calls_new_names_seen: bool
    """Whether the new names count as training words, so that CLIP has no say in them or a smaller one; whichever was
    better on the held-out pictures."""


def train_finetune(recipe: FinetuneRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Fine-tunes a model and writes the best state on the way, or a mean of it and the start that keeps the old words.

    Raises:
        ValueError: if model or data are missing or of no use, or the new words gained nothing; then no model is
            written.
    """
    recipe = overridden(recipe, settings)
    model = load_model(_start_of(settings)).to(settings.device)
    new = _new_source(recipe, model, settings, reporters)
    old = _old_source(recipe, model, settings, reporters)
    known, start = model.config.training_vocabulary, weights_hash(model.state_dict())
    figure, before = _figure(new, model)
    old_before = None if old is None else _figure(old, model)[1]
    begun = Evaluation(figures={figure: before})
    begun = begun if old_before is None else begun.beside(Evaluation(figures={figure: old_before}))
    reporters.note(f"Before the first step: {begun}.")
    task = finetune_task(recipe, model, new, old, device=settings.device, workers=settings.workers)
    origin = {
        # what decides no step may be another one when a finished run is resumed
        "recipe": {name: value for name, value in to_jsonable(recipe).items() if name != "old_tolerance"},
        "start": start,
        "words": to_jsonable(model.config.training_vocabulary),
        "pictures": [len(source.train.samples) for source in (new, old) if source is not None],
    }
    engine = replace(settings.engine, patience=recipe.patience, ema_decay=settings.engine.ema_decay or recipe.ema_decay)
    untrained = {name: value.detach().cpu().clone() for name, value in model.named_parameters() if value.requires_grad}
    run_task(task, replace(settings, engine=engine), reporters, origin)
    processes.gather(None)  # the first process has written the best state before others read it
    best = Checkpoints(settings.out, kept=1).load_best()
    load_part(model, best["module"] | (best["average"] or {}))
    model.eval()
    share, old_after = 1.0, None
    if old is not None and old_before is not None:
        share, old_after = _go_back(model, untrained, old, old_before - recipe.old_tolerance, reporters)
    after = _with_the_better_words(model, known, new)
    outcome = Outcome(
        figure=figure,
        before=before,
        after=after,
        old_before=old_before,
        old_after=old_after,
        best_step=best["best"]["step"],
        share=share,
        calls_new_names_seen=model.config.training_vocabulary != known,
    )
    _refuse_without_gain(outcome)
    reporters.note(_sentence(outcome))
    model.provenance = trained_by(recipe, settings)
    folder = write_model(settings, lambda folder: save_model(model.cpu(), folder, overwrite=True))
    if processes.rank() == 0:
        write_atomically(settings.out / REPORT_FILE, json.dumps(to_jsonable(outcome), indent=1) + "\n", ModelError)
    return folder


def check_finetune(recipe: FinetuneRecipe, settings: TrainSettings) -> DataReport:
    """Looks at a person's pictures as a fine-tuning would, and more closely; takes no step.

    Raises:
        ValueError: if model or data are missing or can't be read, or words do not fit the categories.
    """
    model = load_model(_start_of(settings))
    data, vocabulary, joined = _own_pictures(model, settings)
    facts, notes = [], []
    if len(data.samples) > 1:
        parts = FinetuneData.of(data, vocabulary, recipe)
        train, held_out = parts.train, parts.held_out.data
        facts.append(
            f"{len(train.samples)} pictures are learned from; {len(held_out.samples)} are held out, to choose the best "
            f"state by: --seed {recipe.seed} decides which."
        )
        learned = _names_with_objects(train)
        if alone := [name for name in _names_with_objects(held_out) if name not in learned]:
            notes.append(f"{few(alone)}: in held-out pictures alone, so not learned; another --seed parts otherwise.")
    side, own = model.config.longest_side, median_side(data)
    if own is not None:
        facts.append(
            f"The model looks at pictures whose longer side is {side} pixels; that of these is {own} (median), so "
            f"things are seen at {side / own:.0%} of their size."
        )
    is_shipped = settings.start is not None and real(settings.start) in map(real, map(shipped_folder, SHIPPED))
    if is_shipped and (unread := unknown_concepts(vocabulary)):
        notes.append(f"the model's CLIP has never read {few(unread)}: these pictures alone can teach them.")
    told = DataReport(num_pictures=len(data.samples), facts=tuple(facts), notes=tuple(notes))
    return look_at_data(data, joined, per_class=model.has_targets_per_class) + told


def _names_with_objects(data: Dataset) -> list[str]:
    lists = take_census(data, PixelCount(), num_headers=0, num_flagged=0)
    return [one.name for one in lists.classes if one.objects]


def _start_of(settings: TrainSettings) -> Path:
    """The folder of the model, where pictures are given too."""
    if settings.start is None:
        raise ValueError("fine-tuning goes on from a model: pass its folder, or one of the shipped ones, as --model.")
    if not settings.data:
        raise ValueError("fine-tuning learns from your own pictures: pass their folder as --data.")
    return settings.start


def _own_pictures(model: OpenVocabularySegmenter, settings: TrainSettings) -> tuple[Dataset, Vocabulary, Vocabulary]:
    """The person's pictures, the words for their categories, and the model's training vocabulary joined with these."""
    (path,) = settings.data
    data = _annotated(path, settings.root, "--data")
    data = crowds_as_things(data) if settings.crowds_as_things else data
    known = model.config.training_vocabulary
    vocabulary = vocabulary_for(data.categories, settings.vocabulary, known.templates)
    return data, vocabulary, join_vocabularies(known, vocabulary)


def _new_source(
    recipe: FinetuneRecipe, model: OpenVocabularySegmenter, settings: TrainSettings, reporters: Reporters
) -> FinetuneData:
    """The person's own pictures, if nothing is wrong with them."""
    data, vocabulary, joined = _own_pictures(model, settings)
    found = look_at_data(data, joined, per_class=model.has_targets_per_class)
    report_findings(found, settings.data[0], reporters)
    return FinetuneData.of(data, vocabulary, recipe)


def _old_source(
    recipe: FinetuneRecipe, model: OpenVocabularySegmenter, settings: TrainSettings, reporters: Reporters
) -> FinetuneData | None:
    """Pictures of what the model was trained on, where they are given; those of a shipped model are drawn."""
    if settings.old_data is None:
        if settings.keep is not None:
            raise UsageError("--keep limits what is lost on old data, and none are given: name some with --old-data.")
        reporters.note(
            "No old data are given (--old-data): what the model loses of its old words is neither measured nor kept. "
            "For a shipped model, --old-data storybook draws some."
        )
        return None
    known = model.config.training_vocabulary
    if str(settings.old_data) in SHIPPED:
        data = _drawn(model, settings, reporters)
    else:
        data = _annotated(settings.old_data, None, "--old-data")
    return FinetuneData.of(data, vocabulary_for(data.categories, known, known.templates), recipe)


def _annotated(path: Path, root: Path | None, option: str) -> Dataset:
    return open_dataset(path, root, usual="train", needs=MASK_KINDS, option=option)


def _drawn(model: OpenVocabularySegmenter, settings: TrainSettings, reporters: Reporters) -> Dataset:
    """What a shipped model was trained on, drawn once into a folder that a resumed run finds again."""
    side, vocabulary = model.config.longest_side, model.config.training_vocabulary
    spec = StorybookSpec(
        role="base", split="train", count=DRAWN_OLD, seed=OLD_SEED, size=(side, side), vocabulary=vocabulary
    )
    return draw_for_run(spec, settings.out / f"old-{DRAWN_OLD}", settings, reporters)


def _go_back(
    model: OpenVocabularySegmenter,
    untrained: Mapping[str, Tensor],
    old: FinetuneData,
    least: float,
    reporters: Reporters,
) -> tuple[float, float]:
    """Goes back from the trained weights towards the start until the old words are good enough.

    Weights between the two keep more of the old than they lose of the new (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022, section 3).

    Args:
        model: trained; it is left with the weights that were chosen.
        untrained: what was trained, as it was before.
        old: what it knew.
        least: the lowest figure of it that will do.
        reporters: hear of every share that is tried.

    Returns:
        The first of `SHARES` that will do, or the last; and the figure there.
    """
    trained = {name: model.get_parameter(name).detach().cpu().clone() for name in untrained}
    figure = -1.0
    for share in SHARES:
        between = {name: untrained[name].lerp(trained[name], share) for name in untrained}
        load_part(model, between)
        figure = _figure(old, model)[1]
        reporters.note(f"At {share:.0%} of the way the old words have {100 * figure:.1f}.")
        if figure >= least:
            return share, figure
    return SHARES[-1], figure


def _with_the_better_words(model: OpenVocabularySegmenter, known: Vocabulary, new: FinetuneData) -> float:
    """The new figure with the new names among the training vocabulary or without; the model is left with the better.

    A name with a handful of examples may be learned too little to do without CLIP. Old names are training words both
    times, so their figure is the same.
    """
    joint = model.config.training_vocabulary
    as_seen = _figure(new, model)[1]
    set_training_vocabulary(model, known)
    as_unseen = _figure(new, model)[1]
    if as_seen >= as_unseen:
        set_training_vocabulary(model, joint)
    return max(as_seen, as_unseen)


def _figure(source: FinetuneData, model: OpenVocabularySegmenter) -> tuple[str, float]:
    """Name and value of the figure of the held-out pictures.

    Raises:
        ValueError: if they show nothing that could be measured.
    """
    figures = evaluate_on(replace(source.held_out, num_comparisons=0), model).figures
    if not figures:
        raise ValueError("the pictures that were held out show nothing to measure: add some, or take another --seed.")
    return next(iter(figures.items()))


def _percent(new: float, old: float | None) -> str:
    """Figures of the held-out pictures of the new data, and of the old."""
    return f"{100 * new:.1f}" if old is None else f"{100 * new:.1f} and, on the old data, {100 * old:.1f}"


def _refuse_without_gain(outcome: Outcome) -> None:
    if outcome.after > outcome.before:
        return
    before, after = _percent(outcome.before, outcome.old_before), _percent(outcome.after, outcome.old_after)
    figures = f"(held-out pictures, {before}; at best {after})"
    if outcome.share < 1:
        raise ValueError(
            f"what the new words gained is lost at {outcome.share:.0%} of the way, where the old ones lose little "
            f"enough {figures}: mix in more old pictures, or let them lose more (--keep POINTS)."
        )
    raise ValueError(
        f"no state on the way was better than the model that it began with {figures}: give more pictures, or other "
        "steps (--steps) or rates (--lr)."
    )


def _sentence(outcome: Outcome) -> str:
    """The outcome as it is read."""
    name = FIGURES.get(outcome.figure, outcome.figure)
    gained = f"{name} on held-out pictures: {100 * outcome.before:.1f} before, {100 * outcome.after:.1f} after"
    if outcome.old_before is None or outcome.old_after is None:
        return f"{gained}. What it lost of its old words was not measured: name old data with --old-data."
    lost = f"{100 * outcome.old_before:.1f} before, {100 * outcome.old_after:.1f} after"
    way = "" if outcome.share == 1 else f" The weights went {outcome.share:.0%} of the way, to keep the old words."
    return f"{gained}; on those of the old data {lost}.{way}"
