"""The checkpoints of a run: the last few and the best, each whole whatever processes hold parts of it."""

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lexiseg.core import processes
from lexiseg.core.errors import ModelError
from lexiseg.core.files import writing
from lexiseg.core.weights import load_part, weight_complaint
from lexiseg.io.checkpoint import atomic_save, load_training
from lexiseg.training.engine.parallel import like

logger = logging.getLogger(__name__)

BEST_FILE = "best.pt"


class Checkpoints:
    """The folder of a run: `training.pt` is the newest, `training.1.pt` the one before; `best.pt`."""

    def __init__(self, folder: Path, kept: int) -> None:
        self._folder = folder
        self._kept = kept

    def found(self) -> list[Path]:
        """What is there, the newest first."""
        # A process that was killed between two renamings leaves the newest under its first name.
        names = ["training.next.pt", "training.pt"]
        older = sorted(self._folder.glob("training.[0-9]*.pt"), key=lambda path: int(path.suffixes[0][1:]))
        return [path for path in (*(self._folder / name for name in names), *older) if path.exists()]

    def delete(self) -> None:
        """Deletes them, when nobody goes on with the training: they hold the optimiser too. `best.pt` stays."""
        for path in self.found():
            path.unlink()

    def load(self) -> Any:
        """The newest that is sound; a warning says that an earlier one is taken.

        Raises:
            ModelError: if none is sound.
        """
        problems: list[ModelError] = []
        for path in self.found():
            try:
                saved = load_training(path)
            except ModelError as error:
                problems.append(error)
                continue
            if problems and processes.rank() == 0:
                logger.warning("%s Going on from the one before, %s of step %d.", problems[0], path, saved["step"])
            return saved
        raise problems[0]

    def save(self, content: Mapping[str, Any]) -> None:
        """Makes this the newest; of the earlier ones as many as are to be kept stay.

        Raises:
            ModelError: if it can't be written; the earlier ones stay as they are then.
        """
        if processes.rank() != 0:
            return
        newest = atomic_save(content, self._folder / "training.next.pt")
        with writing(self._folder):
            places = [self._folder / "training.pt", *(self._folder / f"training.{n}.pt" for n in range(1, self._kept))]
            for earlier, later in reversed(list(pairwise(places))):
                if earlier.exists():
                    earlier.replace(later)
            newest.replace(places[0])

    def load_best(self) -> Any:
        """The one of the best evaluation.

        Raises:
            ModelError: if it is missing or damaged.
        """
        return load_training(self._folder / BEST_FILE)

    def save_best(self, content: Mapping[str, Any]) -> None:
        """Makes this the best."""
        if processes.rank() == 0:
            atomic_save(content, self._folder / BEST_FILE)


LATER_FIELDS = {"enhancer_is_masked": True, "padding": "black"}
"""Fields of an OPSNet's recipe that checkpoints of before do not name, with what was done then."""
LATER_SEGMENTER_FIELDS = {"nameless": []}
"""Likewise of every segmenter's recipe."""
LATER_MODEL_FIELDS = {"question": {"negatives": ["background", "object"], "score_threshold": None}}
"""Likewise of the model's configuration in an OVSeg's recipe."""
LATER_VIT_FIELDS = {"colour_scale": "clip"}
"""Likewise of the sizes of a CLIP with a Vision Transformer, in a recipe or a model's configuration."""
OPSNET_FIELDS = ("has_enhancer", "enhancer_shares_projection", "clip", "test_sides", *LATER_FIELDS)
"""Fields of an OPSNet's recipe. Before the closed-set recipe had a type of its own, it was an OPSNet's recipe with
`is_closed_set`, and checkpoints of that time name these fields too."""


def _as_taught(entry: dict[str, Any]) -> dict[str, Any]:
    """A concept without what no training asks for: built-in lists had other places in the taxonomy, and no ids."""
    is_concept = entry.keys() >= {"name", "synonyms", "is_thing"}
    return {name: value for name, value in entry.items() if not (is_concept and name in ("path", "id"))}


def _converted(recipe: str) -> Any:
    """What decides a run, as today's recipes say it."""
    origin = json.loads(recipe, object_hook=_as_taught)
    fields = origin.get("recipe") if isinstance(origin, dict) else None
    if isinstance(fields, dict):
        if "has_enhancer" in fields:
            origin["recipe"] = fields = {**LATER_FIELDS, **fields}
        if "criterion" in fields:
            origin["recipe"] = fields = {**LATER_SEGMENTER_FIELDS, **fields}
        if isinstance(model := fields.get("model"), dict) and isinstance(merge := model.get("merge"), dict):
            fields["model"] = {**LATER_MODEL_FIELDS, **model, "merge": {"void_competes": False, **merge}}
        for place in (fields, model if isinstance(model := fields.get("model"), dict) else {}):
            for name, sizes in place.items():
                if isinstance(sizes, dict) and "patch_size" in sizes:
                    place[name] = {**LATER_VIT_FIELDS, **sizes}
        for name in OPSNET_FIELDS if fields.pop("is_closed_set", False) else ():
            fields.pop(name, None)
    return origin


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module without what is frozen: trained parameters and the buffers beside them."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def restore_weights(module: nn.Module, saved: Mapping[str, Any], recipe: str) -> None:
    """Puts the weights of a checkpoint into a module that nothing is wrapped around yet.

    Raises:
        ValueError: if it is a checkpoint of another recipe, or was begun otherwise.
    """
    found, needed = saved["module"], trained_state(module).keys()
    if complaint := weight_complaint(found, module.state_dict(), is_optional=lambda name: name not in needed):
        raise ValueError(f"the checkpoint belongs to another recipe (it {complaint}): choose another --out.")
    if "recipe" in saved and _converted(saved["recipe"]) != _converted(recipe):
        raise ValueError(
            "the checkpoint was begun otherwise (recipe.json beside it says how: recipe, seed, steps, CLIP, start): "
            "resume it with what it was begun with, or choose another --out."
        )
    load_part(module, found)


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Puts the state of a checkpoint, whose tensors are whole, into an optimiser: each process takes its part."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {number: dict(_like_parameter(entry, parameters[number])) for number, entry in saved["state"].items()}
    optimizer.load_state_dict({**saved, "state": state})


def _like_parameter(entry: Mapping[str, Any], parameter: Tensor) -> Iterator[tuple[str, Any]]:
    for name, value in entry.items():
        is_per_weight = isinstance(value, Tensor) and value.shape == parameter.shape
        yield name, like(value, parameter) if is_per_weight else value
