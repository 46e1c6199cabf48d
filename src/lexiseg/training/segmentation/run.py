"""Trainings of segmenters, from a recipe to a model folder."""

from pathlib import Path

from lexiseg.core import processes
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.folders import own_words
from lexiseg.data.datasets.image_level import LabelDataset, label_dataset
from lexiseg.data.datasets.spec import AnnotatedDataset
from lexiseg.data.formats.coco_panoptic import PanopticDataset, read_panoptic
from lexiseg.data.formats.label_maps import SemanticDataset
from lexiseg.encoders.segmenters.mask2former_weights import write_mask2former
from lexiseg.io.config_json import to_jsonable
from lexiseg.io.models import is_hub_name, save_model, system_of
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import Role
from lexiseg.training.engine.run_settings import Reporters, TrainSettings, overridden, run_task, write_model
from lexiseg.training.engine.validation import Validation
from lexiseg.training.segmentation.data_check import DataReport, look_at_files, look_at_lists
from lexiseg.training.segmentation.initial_weights import first_opsnet, first_ovseg, lacking_weights
from lexiseg.training.segmentation.opsnet import ClosedSetTask, OPSNetTask
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe, OPSNetPlusTask
from lexiseg.training.segmentation.ovseg import OVSegRecipe, OVSegTask
from lexiseg.training.segmentation.task import SegmentationRecipe


def train_closed_set(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a closed-set Mask2Former; its folder is in transformers' layout."""
    recipe = overridden(recipe, settings)
    data = _panoptic_data(recipe, settings, reporters)
    task = ClosedSetTask(recipe, data, device=settings.device, workers=settings.workers)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe)})
    model = task.model.cpu()
    return write_model(
        settings,
        lambda folder: write_mask2former(
            folder,
            recipe.segmenter,
            model.segmenter.state_dict(),
            class_weight=model.classify.weight.detach(),
            class_bias=model.classify.bias.detach(),
            names=recipe.vocabulary.names,
        ),
    )


def train_opsnet(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains an OPSNet around a frozen CLIP."""
    _refuse_to_draw(recipe, settings)
    recipe = overridden(recipe, settings)
    model, origin = first_opsnet(recipe, settings)
    task = OPSNetTask(
        recipe,
        _panoptic_data(recipe, settings, reporters),
        model,
        keeps_batch_norm=settings.start is not None,
        device=settings.device,
        workers=settings.workers,
    )
    task.validation = _validation(settings)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe), **origin})
    model = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(model, folder, overwrite=True))


def train_opsnet_plus(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains an OPSNet further, on pictures with masks and on others with labels (OPSNet+)."""
    if settings.start is None or system_of(settings.start) is None:
        raise ValueError("OPSNet+ goes on from an OPSNet: pass its folder as --start.")
    recipe = overridden(recipe, settings)
    model, weights = first_opsnet(recipe, settings)
    origin: dict[str, object] = {"recipe": to_jsonable(recipe), **weights}
    # what is given is read before anything is drawn
    data = _panoptic_data(recipe, settings, reporters) if settings.data else None
    labelled = _labelled_data(recipe, settings, reporters) if recipe.learns_from_labels else None
    data = data or _panoptic_data(recipe, settings, reporters)
    device, workers = settings.device, settings.workers
    if labelled is None:
        task = OPSNetTask(recipe, data, model, keeps_batch_norm=True, device=device, workers=workers)
    else:
        task = OPSNetPlusTask(recipe, data, labelled, model, device=device, workers=workers)
        used, skipped = len(task.pictures), task.pictures.num_skipped
        origin["labelled"] = {"classes": len(labelled.categories), "pictures": used, "skipped": skipped}
        reporters.note(f"{used} pictures have labels; {skipped} have none and are left out.")
    task.validation = _validation(settings)
    run_task(task, settings, reporters, origin)
    trained = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(trained, folder, overwrite=True))


def train_ovseg(recipe: OVSegRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains the first stage of an OVSeg around a frozen CLIP."""
    _refuse_to_draw(recipe, settings)
    recipe = overridden(recipe, settings)
    model, origin = first_ovseg(recipe, settings)
    task = OVSegTask(
        recipe,
        training_data(recipe, settings, reporters),
        model,
        keeps_batch_norm=settings.start is not None,
        device=settings.device,
        workers=settings.workers,
    )
    task.validation = _validation(settings)
    run_task(task, settings, reporters, {"recipe": to_jsonable(recipe), **origin})
    model = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(model, folder, overwrite=True))


def check_run(recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings) -> DataReport:
    """Looks at data and initial weights as a training would, and takes no step; nothing is drawn or loaded whole."""
    weights = _look_at_weights(recipe, settings)
    if not settings.data and recipe.num_pictures:
        return weights + DataReport(num_pictures=0, notes=(f"{recipe.num_pictures} pictures will be drawn.",))
    data = _open_data(recipe, settings)
    listed = look_at_lists(data, _vocabulary_of(recipe), per_class=isinstance(recipe, OVSegRecipe))
    return listed + look_at_files(data) + weights


def _look_at_weights(recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings) -> DataReport:
    """Whether weights that are needed are given, and those that are given are here."""
    problems, notes = [], []
    is_closed_set = isinstance(recipe, SegmentationRecipe) and recipe.is_closed_set
    if not is_closed_set and (lacking := lacking_weights(recipe, settings)):
        problems.append(lacking)
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
    data = open_dataset(settings.val, None)
    if not isinstance(data, AnnotatedDataset):
        raise ValueError(f"expected pictures with masks or label maps as --val, got those of {settings.val} without.")
    return Validation(data=data, vocabulary=own_words(data.categories))


def training_data(
    recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings, reporters: Reporters
) -> PanopticDataset | SemanticDataset:
    """The training set: the given one, or drawn once into a folder that a resumed run finds again.

    Raises:
        ValueError: if it can't be read, or a look at its lists finds what a training would break on.
    """
    if not settings.data:
        return _drawn_data(recipe, settings, reporters)
    data = _open_data(recipe, settings)
    found = look_at_lists(data, _vocabulary_of(recipe), per_class=isinstance(recipe, OVSegRecipe))
    heed(found, settings.data[0], reporters)
    return data


def heed(found: DataReport, path: Path, reporters: Reporters) -> None:
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


def _panoptic_data(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> PanopticDataset:
    data = training_data(recipe, settings, reporters)
    assert isinstance(data, PanopticDataset), "_open_data takes no other for this recipe"
    return data


def _open_data(recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings) -> PanopticDataset | SemanticDataset:
    """The data set that --data and --root name; an OVSeg may learn from label maps as well."""
    _refuse_to_draw(recipe, settings)
    (path,) = settings.data
    data = open_dataset(path, settings.root, None if settings.root is None else "train")
    if isinstance(data, PanopticDataset) or (isinstance(data, SemanticDataset) and isinstance(recipe, OVSegRecipe)):
        return data
    kinds = "panoptic or semantic truth" if isinstance(recipe, OVSegRecipe) else "panoptic truth"
    raise ValueError(f"expected pictures with {kinds}, got those of {path} without: choose another data set.")


def _refuse_to_draw(recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings) -> None:
    if not settings.data and not recipe.num_pictures:
        raise ValueError("this recipe learns from photographs, which can't be drawn: pass a data set as --data.")


def _vocabulary_of(recipe: SegmentationRecipe | OVSegRecipe) -> Vocabulary:
    return recipe.model.training_vocabulary if isinstance(recipe, OVSegRecipe) else recipe.vocabulary


def _drawn_data(
    recipe: SegmentationRecipe | OVSegRecipe, settings: TrainSettings, reporters: Reporters
) -> PanopticDataset:
    """Pictures of the drawn world, the same for every seed of the training, as COCO is."""
    return _drawn("base", recipe.num_pictures, _vocabulary_of(recipe), recipe, settings, reporters)


def _labelled_data(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> LabelDataset:
    """The pictures with labels: the given ones, or drawn once."""
    if settings.labels is None and not recipe.num_labelled:
        raise ValueError(
            "this recipe learns from photographs, which can't be drawn: pass some with labels as --labels."
        )
    if settings.labels is None:
        return label_dataset(_drawn("image-level", recipe.num_labelled, None, recipe, settings, reporters))
    found = open_dataset(settings.labels, settings.root if str(settings.labels) in CATALOGUE else None)
    if isinstance(found, PanopticDataset):
        return label_dataset(found)
    if not isinstance(found, LabelDataset):
        raise ValueError(
            f"expected pictures with labels, got those of {settings.labels} without: choose another data set."
        )
    return found


def _drawn(
    role: Role,
    count: int,
    vocabulary: Vocabulary | None,
    recipe: SegmentationRecipe | OVSegRecipe,
    settings: TrainSettings,
    reporters: Reporters,
) -> PanopticDataset:
    """Pictures of a role, drawn once into a folder that a resumed run finds again."""
    prefix = "data" if role == "base" else role
    folder = (settings.drawn or settings.out) / f"{prefix}-{count}"
    size = recipe.framing.image_size
    order = StorybookSpec(role=role, split="train", count=count, size=(size, size), vocabulary=vocabulary)
    return draw_once(order, folder, settings, reporters)


def draw_once(order: StorybookSpec, folder: Path, settings: TrainSettings, reporters: Reporters) -> PanopticDataset:
    """Draws a data set in the first process, if an earlier run has not drawn it there; every process reads it."""
    if processes.rank() == 0 and not (folder / "panoptic.json").is_file():
        workers = max(1, settings.workers)
        write_storybook(order, folder, workers=workers, report=lambda done: reporters.drawn(done, order.count))
    processes.gather(None)
    return read_panoptic(folder)
