"""Trainings of segmenters, from a recipe to a model folder."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from lexiseg.core import processes
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.files import own_words
from lexiseg.data.datasets.image_level import LabelDataset, label_dataset
from lexiseg.data.panoptic_format import PanopticDataset, read_panoptic
from lexiseg.data.semantic_format import SemanticDataset
from lexiseg.data.storybook.export import Order, write_storybook
from lexiseg.data.storybook.kinds import Role
from lexiseg.encoders.mask2former_folder import read_mask2former, write_mask2former
from lexiseg.encoders.segmenter import Segmenter
from lexiseg.evaluation.measures import AnyDataset
from lexiseg.io.checkpoint import to_plain, weights_hash
from lexiseg.io.models import load_model, save_model, system_of
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.clip_folders import read_prompt, read_resnet_clip, read_vit_clip
from lexiseg.training.decoupled import OPSNetPlusRecipe, OPSNetPlusTask
from lexiseg.training.panoptic import ClosedSetTask, OPSNetTask, new_opsnet, opsnet_to_go_on_with
from lexiseg.training.segmentation import SegmentationRecipe, TrainingRecipe
from lexiseg.training.semantic import OVSegRecipe, OVSegTask, new_ovseg, ovseg_to_go_on_with, take_backbone
from lexiseg.training.settings import Reporters, TrainSettings, run_task, write_model
from lexiseg.training.validation import Validation

RecipeT = TypeVar("RecipeT", bound=TrainingRecipe)


def train_closed_set(recipe: SegmentationRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains a closed-set Mask2Former; its folder is in transformers' layout."""
    recipe = _with_steps(recipe, settings)
    data = panoptic_data(recipe, recipe.vocabulary, settings, reporters)
    task = ClosedSetTask(recipe, data, device=settings.device, workers=settings.workers)
    run_task(task, settings, reporters, {"recipe": to_plain(recipe)})
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
    recipe = _with_steps(recipe, settings)
    model, origin = _first_opsnet(recipe, settings)
    task = OPSNetTask(
        recipe,
        panoptic_data(recipe, recipe.vocabulary, settings, reporters),
        model,
        keeps_batch_norm=settings.start is not None,
        device=settings.device,
        workers=settings.workers,
    )
    task.validation = _validation(settings)
    run_task(task, settings, reporters, {"recipe": to_plain(recipe), **origin})
    model = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(model, folder, overwrite=True))


def train_opsnet_plus(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains an OPSNet further, on pictures with masks and on others with labels (OPSNet+)."""
    if settings.start is None or system_of(settings.start) is None:
        raise ValueError("OPSNet+ goes on from an OPSNet: pass its folder as --start.")
    recipe = _with_steps(recipe, settings)
    start = _whole_start(settings, OPSNet)
    origin: dict[str, object] = {"recipe": to_plain(recipe), "start": weights_hash(start.state_dict())}
    model = opsnet_to_go_on_with(recipe, start)
    # what is given is read before anything is drawn
    data = panoptic_data(recipe, recipe.vocabulary, settings, reporters) if settings.data else None
    labelled = labelled_data(recipe, settings, reporters) if recipe.learns_from_labels else None
    data = data or panoptic_data(recipe, recipe.vocabulary, settings, reporters)
    device, workers = settings.device, settings.workers
    if labelled is None:
        task = OPSNetTask(recipe, data, model, keeps_batch_norm=True, device=device, workers=workers)
    else:
        task = OPSNetPlusTask(recipe, data, labelled, model, device=device, workers=workers)
        used, skipped = len(task.pictures), task.pictures.num_skipped
        origin["labelled"] = {"classes": len(labelled.categories), "pictures": used, "skipped": skipped}
        if processes.rank() == 0:
            reporters.note(f"{used} pictures have labels; {skipped} have none and are left out.")
    task.validation = _validation(settings)
    run_task(task, settings, reporters, origin)
    made = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(made, folder, overwrite=True))


def train_ovseg(recipe: OVSegRecipe, settings: TrainSettings, reporters: Reporters) -> Path:
    """Trains the first stage of an OVSeg around a frozen CLIP."""
    if not settings.data and not recipe.num_pictures:
        raise ValueError("this recipe learns from photographs, which can't be drawn: pass a data set as --data.")
    recipe = _with_steps(recipe, settings)
    model, origin = _first_ovseg(recipe, settings)
    task = OVSegTask(
        recipe,
        training_data(recipe, recipe.model.training_vocabulary, settings, reporters),
        model,
        keeps_batch_norm=settings.start is not None,
        device=settings.device,
        workers=settings.workers,
    )
    task.validation = _validation(settings)
    run_task(task, settings, reporters, {"recipe": to_plain(recipe), **origin})
    model = task.model.cpu().eval()
    return write_model(settings, lambda folder: save_model(model, folder, overwrite=True))


def _first_opsnet(recipe: SegmentationRecipe, settings: TrainSettings) -> tuple[OPSNet, dict[str, str | None]]:
    """The model before its first step, and the hashes of the weights that it was made of."""
    if settings.start is not None and system_of(settings.start) is not None:
        start = _whole_start(settings, OPSNet)
        return opsnet_to_go_on_with(recipe, start), {"start": weights_hash(start.state_dict())}
    if settings.clip is None:
        raise ValueError(
            "this recipe needs a frozen CLIP: train one with 'lexiseg train clip-tiny', then pass --clip; "
            "or pass the folder of an OPSNet as --start."
        )
    clip = read_resnet_clip(settings.clip)
    segmenter = read_mask2former(settings.start).segmenter if settings.start is not None else None
    origin = {
        "clip": weights_hash(clip.state_dict()),
        "start": weights_hash(segmenter) if segmenter is not None else None,
    }
    return new_opsnet(recipe, clip.config, clip.state_dict(), segmenter), origin


def _first_ovseg(recipe: OVSegRecipe, settings: TrainSettings) -> tuple[OVSeg, dict[str, str | None]]:
    """The model before its first step, and the hashes of the weights that it was made of."""
    if settings.start is not None and system_of(settings.start) == "ovseg":
        start = _whole_start(settings, OVSeg)
        return ovseg_to_go_on_with(recipe, start), {"start": weights_hash(start.state_dict())}
    if settings.clip is None:
        raise ValueError(
            "this recipe needs a frozen CLIP: train one with 'lexiseg train clip-vit-tiny', then pass --clip; "
            "or pass the folder of an OVSeg as --start."
        )
    clip = read_vit_clip(settings.clip)
    vectors = read_prompt(settings.prompt) if settings.prompt is not None else None
    model = new_ovseg(recipe, clip, vectors)
    if settings.start is not None:
        take_backbone(model, _trained_segmenter(settings.start))
    return model, {
        "clip": weights_hash(clip.state_dict()),
        "prompt": weights_hash({"vectors": vectors}) if vectors is not None else None,
        "backbone": weights_hash(model.segmenter.backbone.state_dict()) if settings.start is not None else None,
    }


def _trained_segmenter(folder: Path) -> Segmenter:
    """The Mask2Former of an OPSNet's folder, or of its own."""
    if system_of(folder) is not None:
        model = load_model(folder)
        assert isinstance(model, OPSNet)
        return model.segmenter
    published = read_mask2former(folder)
    segmenter = Segmenter(published.config)
    segmenter.load_state_dict(published.segmenter)
    return segmenter


ModelT = TypeVar("ModelT", OPSNet, OVSeg)


def _whole_start(settings: TrainSettings, kind: type[ModelT]) -> ModelT:
    """The model that --start names, with its own CLIP."""
    assert settings.start is not None
    if settings.clip is not None:
        raise ValueError(f"the {kind.__name__} that --start names has its own frozen CLIP: leave --clip out.")
    if settings.prompt is not None:
        raise ValueError(
            f"the {kind.__name__} that --start names embeds words as it was trained to: leave --prompt out, or begin "
            "from --clip."
        )
    model = load_model(settings.start)
    if not isinstance(model, kind):
        raise ValueError(
            f"expected the folder of an {kind.__name__} as --start, got one of an {type(model).__name__}: "
            "choose the recipe that fits, or another start."
        )
    return model


def _with_steps(recipe: RecipeT, settings: TrainSettings) -> RecipeT:
    return recipe if settings.steps is None else replace(recipe, steps=settings.steps)


def panoptic_data(
    recipe: TrainingRecipe, vocabulary: Vocabulary, settings: TrainSettings, reporters: Reporters
) -> PanopticDataset:
    """The training set: the given one, or drawn once into a folder that a resumed run finds again."""
    if settings.data:
        (path,) = settings.data
        return read_panoptic(path)
    # the same pictures for every seed of the training, as COCO is
    return _drawn("base", recipe.num_pictures, vocabulary, recipe, settings, reporters)


def labelled_data(recipe: OPSNetPlusRecipe, settings: TrainSettings, reporters: Reporters) -> LabelDataset:
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
    recipe: TrainingRecipe,
    settings: TrainSettings,
    reporters: Reporters,
) -> PanopticDataset:
    """Pictures of a role, drawn once into a folder that a resumed run finds again."""
    prefix = "data" if role == "base" else role
    folder = (settings.drawn or settings.out) / f"{prefix}-{count}"
    if processes.rank() == 0 and not (folder / "panoptic.json").is_file():
        size = recipe.framing.image_size
        order = Order(role=role, split="train", count=count, size=(size, size), vocabulary=vocabulary)
        workers = max(1, settings.workers)
        write_storybook(order, folder, workers=workers, report=lambda done: reporters.drawn(done, count))
    processes.gather(None)
    return read_panoptic(folder)


def _validation(settings: TrainSettings) -> Validation | None:
    """What --val names, asked for by its own words."""
    if settings.val is None:
        return None
    data = open_dataset(settings.val, None)
    if not isinstance(data, AnyDataset):
        raise ValueError(f"expected pictures with masks or label maps as --val, got those of {settings.val} without.")
    return Validation(data=data, vocabulary=own_words(data.categories))


def training_data(
    recipe: TrainingRecipe, vocabulary: Vocabulary, settings: TrainSettings, reporters: Reporters
) -> PanopticDataset | SemanticDataset:
    """`panoptic_data` for recipes that learn from label maps as well."""
    if not settings.data:
        return panoptic_data(recipe, vocabulary, settings, reporters)
    (path,) = settings.data
    data = open_dataset(path, settings.root, None if settings.root is None else "train")
    if not isinstance(data, PanopticDataset | SemanticDataset):
        raise ValueError(
            f"expected pictures with panoptic or semantic truth, got those of {path} without: choose another data set."
        )
    return data
