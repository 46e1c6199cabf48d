"""The trainings of `trainings`: several models from one start, on the same pictures. All are acts of units."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from lexiseg.core.random import fork_random
from lexiseg.core.weights import read_tensors
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.encoders.segmenters.mask2former import Segmenter
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former, write_mask2former
from lexiseg.io.config_json import from_jsonable
from lexiseg.io.models import save_model
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.opsnet.baselines import BaselineConfig, LSeg, LSegTask
from lexiseg.studies.worlds import folder_of, load_network
from lexiseg.training.engine.checkpoints import Checkpoints
from lexiseg.training.engine.run_settings import Reporters, TrainSettings
from lexiseg.training.engine.trainer import run
from lexiseg.training.segmentation.closed_set import ClosedSetRecipe
from lexiseg.training.segmentation.opsnet import OPSNetRecipe, opsnet_config
from lexiseg.training.segmentation.opsnet_plus import OPSNetPlusRecipe
from lexiseg.training.segmentation.run import train_opsnet_plus
from lexiseg.training.segmentation.task import SegmentationTask

LSEG_FILE = "lseg.safetensors"


def train_closed_set(files: Path, out: Path, *, recipe: Mapping[str, Any], start: str | None, pictures: str) -> Any:
    """Trains a closed-set Mask2Former with a class layer from nothing.

    Args:
        files: what units leave.
        out: gets `model`, in transformers' layout.
        recipe: a plain ClosedSetRecipe.
        start: the unit that leaves the closed set from whose segmenter it begins; None: from nothing.
        pictures: the unit that draws them.
    """
    chosen = from_jsonable(ClosedSetRecipe, recipe)
    with fork_random(chosen.seed):
        model = chosen.build()
    _train(files, out, SegmentationTask, chosen, model, start, pictures)
    write_mask2former(
        out / "model",
        chosen.segmenter,
        model.segmenter.state_dict(),
        class_weight=model.classify.weight.detach(),
        class_bias=model.classify.bias.detach(),
        names=chosen.vocabulary.names,
        longest_side=chosen.framing.image_size,
    )
    return _trained(out, chosen.steps)


def train_opsnet(
    files: Path,
    out: Path,
    *,
    recipe: Mapping[str, Any],
    model: Mapping[str, Any],
    start: str,
    pictures: str,
) -> Any:
    """Trains an OPSNet around the given one's frozen CLIP; enhancer and heads begin from nothing.

    Args:
        files: what units leave.
        out: gets `model`.
        recipe: a plain OPSNetRecipe.
        model: settings of the given OPSNet, whose fusion and merge it takes too.
        start: the unit that leaves the closed set from whose segmenter it begins.
        pictures: the unit that draws them.
    """
    chosen, given = from_jsonable(OPSNetRecipe, recipe), load_network(files, model, OPSNet)
    config = replace(
        opsnet_config(chosen, given.config.clip), modulation=given.config.modulation, merge=given.config.merge
    )
    with fork_random(chosen.seed):
        network = OPSNet(config)
    network.clip.load_state_dict(given.clip.state_dict())
    if network.adapter is not None and given.adapter is not None:  # a CLIP of another family has none
        network.adapter.load_state_dict(given.adapter.state_dict())
    _train(files, out, SegmentationTask, chosen, network, start, pictures)
    save_model(network.eval(), out / "model", overwrite=True)
    return _trained(out, chosen.steps)


def train_plus(
    files: Path, out: Path, *, recipe: Mapping[str, Any], model: Mapping[str, Any], pictures: str, labels: str
) -> Any:
    """Trains the given OPSNet further.

    Args:
        files: what units leave.
        out: gets `model`.
        recipe: a plain OPSNetPlusRecipe.
        model: settings of the given OPSNet.
        pictures: the unit that draws those with masks.
        labels: the unit that draws those with labels; a recipe without decoupled supervision does not open them.
    """
    load_network(files, model, OPSNet)  # refuses a folder that is another model's by now
    settings = TrainSettings(
        out=out,
        resume=True,
        data=(files / pictures,),
        labels=files / labels,
        start=folder_of(files, model),
        workers=0,
    )
    chosen = from_jsonable(OPSNetPlusRecipe, recipe)
    train_opsnet_plus(chosen, settings, Reporters())
    return _trained(out, chosen.steps)


def train_lseg(
    files: Path,
    out: Path,
    *,
    recipe: Mapping[str, Any],
    model: Mapping[str, Any],
    start: str,
    pictures: str,
) -> Any:
    """Trains an LSeg by what an OPSNetRecipe says of steps, pictures and optimiser; see `train_opsnet`."""
    chosen, given = from_jsonable(OPSNetRecipe, recipe), load_network(files, model, OPSNet)
    network = new_lseg(chosen, given)
    _train(files, out, LSegTask, chosen, network, start, pictures)
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("clip.")}
    save_file(weights, out / LSEG_FILE)
    return _trained(out, chosen.steps)


def load_lseg(files: Path, unit: str, recipe: Mapping[str, Any], given: OPSNet) -> LSeg:
    """What `train_lseg` has trained."""
    network = new_lseg(from_jsonable(OPSNetRecipe, recipe), given)
    network.load_state_dict(read_tensors(files / unit / LSEG_FILE), strict=False)  # the CLIP is the given one's
    return network.eval()


def new_lseg(recipe: OPSNetRecipe, given: OPSNet) -> LSeg:
    """An LSeg around the given OPSNet's CLIP, otherwise from nothing."""
    with fork_random(recipe.seed):
        segmenter = Segmenter(recipe.segmenter)
        config = BaselineConfig(training_vocabulary=recipe.vocabulary, longest_side=recipe.framing.image_size)
        return LSeg(config, segmenter, given.clip)


def _train(
    files: Path,
    out: Path,
    task: Callable[..., SegmentationTask[Any]],
    recipe: ClosedSetRecipe | OPSNetRecipe,
    model: Any,
    start: str | None,
    pictures: str,
) -> None:
    """Trains a model on the pictures of a unit; its segmenter begins as that of the closed set that another left."""
    if start is not None:
        model.segmenter.load_state_dict(dict(read_mask2former(files / start / "model").segmenter))
    data = read_panoptic(files / pictures)
    run(task(recipe, data, model, workers=0, keeps_batch_norm=start is not None), out, resume=True)


def _trained(out: Path, steps: int) -> Any:
    """The result of a finished training, whose checkpoints go."""
    Checkpoints(out, kept=1).delete()
    return {"steps": steps}
