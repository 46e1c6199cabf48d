"""Trainings of segmenters, from a recipe to a model folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lexiseg.core.random import fork_random
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.categories import own_vocabulary
from lexiseg.data.dataset import MASK_KINDS, Dataset, crowds_as_things
from lexiseg.data.samples.labelled import with_labels
from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import save_model, system_of
from lexiseg.io.shipped import is_hub_name
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.storybook.datasets import draw_data
from lexiseg.storybook.export import StorybookSpec
from lexiseg.storybook.roles import Role
from lexiseg.training.engine.record import trained_by
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, overridden, run_task, write_model
from lexiseg.training.engine.validation import Validation
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe
from lexiseg.training.segmentation.data_check import DataReport, look_at_data
from lexiseg.training.segmentation.initial_weights import Origin, first_opsnet, lacking_weights
from lexiseg.training.segmentation.opsnet_plus import LabelSupervision, OPSNetPlusRecipe
from lexiseg.training.segmentation.recipe import TrainingRecipe
from lexiseg.training.segmentation.task import SegmentationTask

FirstModel = Callable[[Any, TrainSettings], tuple[OpenVocabularySegmenter, Origin]]
"""What makes the model before its first step, by recipe and settings, and says what of."""


def train_closed_set(recipe: ClosedSetRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a closed-set Mask2Former; its folder is in transformers' layout."""
    recipe = overridden(recipe, settings)
    data = training_data(recipe, settings, reporters)
    with fork_random(recipe.seed):
        model = recipe.build()
    task = SegmentationTask(recipe, data, model, device=settings.device, workers=settings.workers)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe)})
    model.cpu()
    return write_model(
        settings,
        lambda folder: write_mask2former(
            folder,
            recipe.segmenter,
            model.segmenter.state_dict(),
            class_weight=model.classify.weight.detach(),
            class_bias=model.classify.bias.detach(),
            names=recipe.vocabulary.names,
            longest_side=recipe.framing.image_size,
        ),
    )


def train_segmenter(first: FirstModel, recipe: TrainingRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a segmenter around a frozen CLIP, an OPSNet or an OVSeg's first stage, from what `first` gives."""
    _refuse_to_draw(recipe, settings)
    recipe = overridden(recipe, settings)
    model, weights = first(recipe, settings)
    data = training_data(recipe, settings, reporters)
    origin = {"recipe": to_jsonable(recipe), **weights}
    return _train(recipe, data, model, settings, reporters, origin, keeps_batch_norm=settings.start is not None)


def train_opsnet_plus(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains an OPSNet further, on pictures with masks and on others with labels (OPSNet+)."""
    if settings.start is None or system_of(settings.start) is None:
        raise ValueError("OPSNet+ goes on from an OPSNet: pass its folder as --start.")
    recipe = overridden(recipe, settings)
    model, weights = first_opsnet(recipe, settings)
    origin: dict[str, object] = {"recipe": to_jsonable(recipe), **weights}
    # what is given is read before anything is drawn
    data = training_data(recipe, settings, reporters) if settings.data else None
    labelled = _labelled_data(recipe, settings, reporters) if recipe.learns_from_labels else None
    data = data or training_data(recipe, settings, reporters)
    labels = None
    if labelled is not None:
        labels = LabelSupervision(recipe, labelled, model, device=settings.device)
        used, skipped = len(labels.pictures), labels.pictures.num_skipped
        origin["labelled"] = {"classes": len(labelled.categories), "pictures": used, "skipped": skipped}
        reporters.note(f"{used} pictures have labels; {skipped} have none and are left out.")
    return _train(recipe, data, model, settings, reporters, origin, keeps_batch_norm=True, labels=labels)


def _train(
    recipe: TrainingRecipe,
    data: Dataset,
    model: OpenVocabularySegmenter,
    settings: TrainSettings,
    reporters: Reporters,
    origin: Mapping[str, object],
    *,
    keeps_batch_norm: bool,
    labels: LabelSupervision | None = None,
) -> Path:
    task = SegmentationTask(
        recipe,
        data,
        model,
        keeps_batch_norm=keeps_batch_norm,
        device=settings.device,
        workers=settings.workers,
        validation=_validation(settings),
        labels=labels,
    )
    run_task(task, settings, reporters, origin)
    model.cpu().eval()
    model.provenance = trained_by(recipe, settings)
    return write_model(settings, lambda folder: save_model(model, folder, overwrite=True))


def check_run(recipe: TrainingRecipe, settings: TrainSettings) -> DataReport:
    """Looks at data and initial weights as a training would, and takes no step; nothing is drawn or loaded whole."""
    weights = _look_at_weights(recipe, settings)
    if not settings.data and recipe.num_pictures:
        return weights + DataReport(num_pictures=0, notes=(f"{recipe.num_pictures} pictures will be drawn.",))
    data = _open_data(recipe, settings)
    return _look_at(data, recipe) + weights


def _look_at_weights(recipe: TrainingRecipe, settings: TrainSettings) -> DataReport:
    """Whether weights that are needed are given, and those that are given are here."""
    lacking, notes = lacking_weights(recipe, settings), []
    problems = [] if lacking is None else [lacking]
    for option, path in (("--clip", settings.clip), ("--start", settings.start)):
        if path is not None and is_hub_name(path):
            notes.append(f"{option} {path} will be fetched from the Hugging Face hub, if it is not in its cache.")
        elif path is not None and not path.exists():
            problems.append(f"{option} {path} is not there: check the path.")
    return DataReport(num_pictures=0, problems=tuple(problems), notes=tuple(notes))


def _validation(settings: TrainSettings) -> Validation | None:
    """What --val names, asked for by its own words."""
    if settings.val is None:
        return None
    data = open_dataset(settings.val, None, usual="val", needs=MASK_KINDS, option="--val")
    data = crowds_as_things(data) if settings.crowds_as_things else data
    return Validation(data=data, vocabulary=own_vocabulary(data.categories))


def training_data(recipe: TrainingRecipe, settings: TrainSettings, reporters: Reporters) -> Dataset:
    """The training set: the given one, or drawn once into a folder that a resumed run finds again.

    Raises:
        ValueError: if it can't be read, or a look at its lists finds what a training would break on.
    """
    if not settings.data:
        # the same pictures for every seed of the training, as COCO's are
        if recipe.nameless:
            return _drawn("strangers", recipe.num_pictures, None, recipe, settings, reporters)
        return _drawn("base", recipe.num_pictures, recipe.training_vocabulary, recipe, settings, reporters)
    data = _open_data(recipe, settings)
    found = _look_at(data, recipe)
    report_findings(found, settings.data[0], reporters)
    return data


def _look_at(data: Dataset, recipe: TrainingRecipe) -> DataReport:
    per_class = recipe.model_type.has_targets_per_class
    return look_at_data(data, recipe.training_vocabulary, per_class=per_class, nameless=recipe.nameless)


def report_findings(found: DataReport, path: Path, reporters: Reporters) -> None:
    """Tells what a look at a data set noted.

    Raises:
        ValueError: with the first problem that it found.
    """
    for sentence in found.notes:
        reporters.note(f"{path}: {sentence}")
    if found.problems:
        more = len(found.problems) - 1
        rest = f" (And {more} more: --check tells them all.)" if more else ""
        raise ValueError(f"{path}: {found.problems[0]}{rest}")


def _open_data(recipe: TrainingRecipe, settings: TrainSettings) -> Dataset:
    """The data set that --data and --root name; targets per class can be made of label maps as well."""
    _refuse_to_draw(recipe, settings)
    (path,) = settings.data
    needs = ("panoptic", "semantic") if recipe.model_type.has_targets_per_class else ("panoptic",)
    data = open_dataset(path, settings.root, usual="train", needs=needs)
    return crowds_as_things(data) if settings.crowds_as_things else data


def _refuse_to_draw(recipe: TrainingRecipe, settings: TrainSettings) -> None:
    if not settings.data and not recipe.num_pictures:
        raise ValueError("this recipe learns from photographs, which can't be drawn: pass a data set as --data.")


def _labelled_data(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> Dataset:
    """The pictures with labels: the given ones, or drawn once."""
    if settings.labels is None and not recipe.num_labelled:
        raise ValueError(
            "this recipe learns from photographs, which can't be drawn: pass some with labels as --labels."
        )
    if settings.labels is None:
        return with_labels(_drawn("image-level", recipe.num_labelled, None, recipe, settings, reporters))
    root = settings.root if str(settings.labels) in CATALOGUE else None
    return with_labels(open_dataset(settings.labels, root, needs=("labels", "panoptic"), option="--labels"))


def _drawn(
    role: Role,
    count: int,
    vocabulary: Vocabulary | None,
    recipe: TrainingRecipe,
    settings: TrainSettings,
    reporters: Reporters,
) -> Dataset:
    """Pictures of a role, drawn once into a folder that a resumed run finds again."""
    prefix = "data" if role == "base" else role
    folder = (settings.drawn or settings.out) / f"{prefix}-{count}"
    size = recipe.framing.image_size
    spec = StorybookSpec(role=role, split="train", count=count, size=(size, size), vocabulary=vocabulary)
    return draw_for_run(spec, folder, settings, reporters)


def draw_for_run(spec: StorybookSpec, folder: Path, settings: TrainSettings, reporters: Reporters) -> Dataset:
    """Draws a data set, if an earlier run has not drawn it there; see `draw_data`."""
    return draw_data(spec, folder, trusts_unsigned=True, workers=settings.workers, report=reporters.drawn)
