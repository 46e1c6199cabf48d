"""What the jobs do: pictures, trainings, measurements. Everything that decides a result is an argument."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.io.models import load_model
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ROLE_CONTENTS, SEEN
from lexiseg.studies.opsnet.ablations import StudyRow, study
from lexiseg.training.engine.run_settings import Reporters, TrainSettings
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe
from lexiseg.training.segmentation.run import train_opsnet_plus

THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4)


def draw(root: Path, out: Path, *, role: Role, split: Split, count: int) -> Any:
    """Draws pictures of a role with its own names."""
    write_storybook(StorybookSpec(role=role, split=split, count=count), out, overwrite=True)
    return {"pictures": count}


def train(
    root: Path,
    out: Path,
    *,
    start: str,
    weights: str,
    masks: str,
    labels: str,
    recipe: Mapping[str, Any],
    device: str,
) -> Any:
    """Trains the start further; a later call goes on from the last checkpoint.

    Args:
        root: pictures are given relative to it.
        out: gets `model`.
        start: the folder of an OPSNet.
        weights: its hash, which tells it from others of its name.
        masks: pictures with masks.
        labels: pictures with labels; a recipe without decoupled supervision does not open them.
        recipe: a plain OPSNetPlusRecipe.
        device: where to train.
    """
    settings = TrainSettings(
        out=out, resume=True, data=(root / masks,), labels=root / labels, start=Path(start), device=device, workers=0
    )
    chosen = from_jsonable(OPSNetPlusRecipe, recipe)
    train_opsnet_plus(chosen, settings, Reporters())
    for checkpoint in out.glob("training*.pt"):  # they have the optimiser too, and nobody goes on with a finished job
        checkpoint.unlink()
    return {"steps": chosen.steps, "weights": weights}


def measure(
    root: Path, out: Path, *, model: str, weights: str, val: str, tests: Mapping[Role, str], device: str
) -> Any:
    """Chooses the score threshold by PQ on `base` val, then measures every test set with it.

    Args:
        root: pictures are given relative to it, and a model may be.
        out: not used.
        model: the folder of an OPSNet.
        weights: hash of the start that it is, or was made from.
        val: pictures of role base.
        tests: pictures by role; role semantic-only is measured by mIoU, all others by PQ.
        device: where to compute.

    Returns:
        The choice, and `figures` in percent: "novel PQ", "novel PQ unseen" ...
    """
    network = load_model(root / model)
    if not isinstance(network, OPSNet):
        raise ValueError(f"expected the folder of an OPSNet, got one of an {type(network).__name__} in {model}.")
    network.to(device)
    merge = choose(network, read_panoptic(root / val))
    figures: dict[str, float] = {}
    for role, pictures in tests.items():
        figures |= figures_of(network, role, read_panoptic(root / pictures), merge)
    return {"weights": weights, "merge": to_jsonable(merge), "figures": figures}


def choose(network: OPSNet, val: Dataset) -> MergeConfig:
    """The model's own way to merge, at the threshold of the best PQ."""
    config = network.config
    merges = [replace(config.merge, score_threshold=threshold) for threshold in THRESHOLDS]
    rows = [StudyRow(name=str(m.score_threshold), modulation=config.modulation, merge=m) for m in merges]
    results = study(network, val, ROLE_CONTENTS["base"].vocabulary, rows).results
    return max(results, key=lambda result: result.quality.all.pq).row.merge


def figures_of(network: OPSNet, role: Role, pictures: Dataset, merge: MergeConfig) -> dict[str, float]:
    """PQ or mIoU of a role, and the same of the names that no training mask ever carried, where there are both."""
    is_semantic = role == "semantic-only"
    settings = EvaluationSettings(task="semantic" if is_semantic else "panoptic", merge=merge)
    vocabulary = ROLE_CONTENTS[role].vocabulary
    report = evaluate_dataset(network, pictures, vocabulary, settings, groups=_unseen(vocabulary.names))
    name = f"{role} {'mIoU' if is_semantic else 'PQ'}"
    found = {name: report.quality} | {f"{name} {group}": quality for group, quality in report.groups.items()}
    return {key: 100 * (quality.miou if is_semantic else quality.all.pq) for key, quality in found.items()}


def _unseen(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    unseen = tuple(name for name in names if name not in SEEN)
    return {"unseen": unseen} if 0 < len(unseen) < len(names) else {}
