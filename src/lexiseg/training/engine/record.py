"""What a trained model says of its training."""

from pathlib import Path

from lexiseg.evaluation.report import installed_versions
from lexiseg.io.folder_format import read_config
from lexiseg.io.models import system_of
from lexiseg.models.provenance import Provenance, Source, Training
from lexiseg.training.engine.run_settings import Precision, Recipe, TrainSettings, computed_in


def trained_by(recipe: Recipe, settings: TrainSettings) -> Provenance:
    """Where a model comes from that a recipe has trained: all that its start came from, and its data.

    Args:
        recipe: as it ran, with what the settings name instead of its own.
        settings: those of the run.
    """
    name = settings.name or type(recipe).__name__
    begun = [_start(part, path) for part, path in _starts(settings) if path is not None]
    own = [Source.of(part, path) for part, path in _data(settings)]
    if not settings.data:
        drawn = getattr(recipe, "num_pictures", None)
        name_of_drawn = f"storybook, {drawn} drawn pictures" if drawn else "storybook"
        own = [Source(part="masks", name=name_of_drawn, licence="apache-2.0"), *own]
    precision: Precision | None = getattr(recipe, "precision", None)
    training = Training(
        recipe=name,
        seed=settings.seed,
        steps=getattr(recipe, "steps", None),
        batch_size=getattr(recipe, "batch_size", None),
        lr=None if (optim := getattr(recipe, "optim", None)) is None else optim.lr,
        precision=None if precision is None else computed_in(precision, settings.device),
        versions=installed_versions(),
    )
    return Provenance(
        made=f"trained by the recipe {name}",
        sources=tuple(dict.fromkeys([*(source for known in begun for source in known.sources), *own])),
        trainings=(*(training for known in begun for training in known.trainings), training),
    )


def _starts(settings: TrainSettings) -> tuple[tuple[str, Path | None], ...]:
    return ("start", settings.start), ("CLIP", settings.clip), ("learned prompt", settings.prompt)


def _data(settings: TrainSettings) -> list[tuple[str, Path]]:
    labels, old = settings.labels, settings.old_data
    more = [("labels", labels), ("old masks", old)]
    return [*(("masks", path) for path in settings.data), *((part, path) for part, path in more if path is not None)]


def _start(part: str, folder: Path) -> Provenance:
    """What is known of a model that a training began from; of anything else, its name."""
    known = Provenance() if system_of(folder) is None else read_config(folder).provenance
    return known if known != Provenance() else Provenance(sources=(Source.of(part, folder),))
