"""From what a user gives as a model - a name, a folder, a file - to a model folder, fetched and assembled if need be.

What is assembled of published parts is kept as a small folder in lexiseg's own cache, which points to them: the second
time nothing is fetched or assembled.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import lexiseg
from lexiseg.core.errors import ModelError
from lexiseg.core.files import lock, read_json_object, writing
from lexiseg.core.messages import printable
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import read_tensors
from lexiseg.encoders.clip.published import clip_repository
from lexiseg.encoders.segmenters.preparation import Regime
from lexiseg.encoders.text import default_cache_dir
from lexiseg.io.checkpoint import WEIGHTS_FILE, save_folder
from lexiseg.io.fcclip.checkpoint import import_fcclip
from lexiseg.io.folder_format import document_of
from lexiseg.io.hub import fetch
from lexiseg.io.hub_messages import NoSuchFileError
from lexiseg.io.kinds import judge, kind_of_keys
from lexiseg.io.named_models import FCCLIP_CLIPS, NAMED, RN50, near_names, row_of
from lexiseg.io.ovseg.checkpoint import import_ovseg
from lexiseg.io.shipped import CONFIG_FILE, SHIPPED, elsewhere, is_hub_name, shipped_folder
from lexiseg.io.sources import Part, part_of_path, place_of, sources_document, sources_of, stamp_of, told
from lexiseg.layers.ensemble import GeometricConfig
from lexiseg.layers.modulation import ModulationConfig
from lexiseg.models import assemble as joining
from lexiseg.models.alternatives import Alternatives
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.provenance import Provenance, Source

logger = logging.getLogger(__name__)

_FORMAT = 1  # part of every key: raised when what is derived changes, so that older folders are made anew


def find_model(name_or_dir: str | Path) -> Path:
    """The folder of a model, which is fetched from the Hugging Face hub and assembled if need be.

    Args:
        name_or_dir: a shipped model, "storybook" or "tiny-ovseg"; a named one, such as "swin-l-coco"; a model folder,
            or one in transformers' layout; a checkpoint file; or "owner/name" on the hub, if there is no such path.

    Raises:
        ModelError: if there is no such model, it can't be fetched, or it is of another kind.
    """
    text = str(name_or_dir)
    if text in SHIPPED:
        return shipped_folder(text)
    path = Path(text)
    if text in NAMED and not path.exists():
        row = NAMED[text]
        if row.repository is None:
            raise elsewhere(text)
        return _of_hub(row.repository, label=text, licence=row.licence)
    if path.is_file() or _is_published(path):
        return _of_path(path)
    return _of_hub(text, label=text, licence=_licence(text)) if is_hub_name(text) else path


def find_folder(name_or_dir: str | Path) -> Path:
    """The folder of whatever was trained, as it is: for a CLIP or a start of training, where nothing is assembled.

    Args:
        name_or_dir: a shipped model; a named segmenter; a folder or file; or "owner/name" on the hub, also of a CLIP in
            open_clip's layout.

    Raises:
        ModelError: if it can't be fetched.
    """
    text = str(name_or_dir)
    if text in SHIPPED:
        return shipped_folder(text)
    if text in NAMED and not Path(text).exists():
        return _segmenter(text)[1]
    if not is_hub_name(text):
        return Path(text)
    try:
        return fetch(text, "clip").folder
    except NoSuchFileError:
        return fetch(text, "any").folder


def resolution(name: str, folder: Path) -> str:
    """What a name stood for, as a sentence; empty if that is the folder itself."""
    parts = sources_of(folder)
    if not parts:
        return "" if str(folder) == name or name in SHIPPED else f"{name} is the model in {printable(folder)}."
    return f"{name} is {' + '.join(map(told, parts.values()))}, put together in {printable(folder)}."


def assemble(
    segmenter: str | Path,
    clip: str | Path = RN50,
    clip_weights: str | Path | None = None,
    *,
    vocabulary: Vocabulary | str | None = None,
    preparation: Regime = "official",
    longest_side: int | None = None,
    shortest_side: int | None = None,
    fusion: ModulationConfig | GeometricConfig | None = None,
    alternatives: Alternatives | None = None,
) -> OPSNet:
    """Joins a published closed-set segmenter and a published CLIP into an open-vocabulary model, without training.

    What lies on the Hugging Face hub is fetched; see `lexiseg.models.assemble` for how the parts are joined.

    Args:
        segmenter: a named model, such as "swin-l-coco"; "owner/name" on the hub; or a folder in transformers' layout.
        clip: open_clip's name of an architecture, with or without a tag behind a space; or a file or folder of its
            weights; or "owner/name" on the hub.
        clip_weights: a tag of open_clip's such as "openai", or a file or folder of weights, or "owner/name".
        vocabulary: the names of the class head, in order; by default the segmenter's own labels.
        preparation: how pictures are resized and padded: "official", as the program does that trained the segmenter;
            or "published", as its preprocessor_config.json says.
        longest_side: other sides in pixels; see `OPSNet.set_sides`.
        shortest_side: likewise.
        fusion: modulation, or FC-CLIP's geometric ensemble; modulation as in the paper if not given.
        alternatives: what else is done otherwise than by default; see `lexiseg.models.alternatives`.

    Returns:
        The model in eval mode, on the CPU, in float32.

    Raises:
        ValueError: if a part can't be found, fetched or read, or the parts don't fit together.
    """
    part, place = _segmenter(str(segmenter))
    found = _clip(str(clip), None if clip_weights is None else str(clip_weights))
    model = _joined(
        place,
        found,
        vocabulary=vocabulary,
        preparation=preparation,
        longest_side=longest_side,
        shortest_side=shortest_side,
        fusion=fusion,
        alternatives=alternatives,
    )
    model.provenance = _provenance({"segmenter": part, "clip": found.part})
    return model


def _segmenter(text: str) -> tuple[Part, Path]:
    """A segmenter by its name or place."""
    row, path = NAMED.get(text), Path(text)
    if path.exists():
        return part_of_path(path), path
    if row is not None and row.repository is None:
        raise elsewhere(text)
    if row is None and not is_hub_name(text):
        raise ModelError(
            f"there is no segmenter {printable(text)}: {near_names(text) or 'give a folder'}, a name that 'lexiseg "
            "models' shows, or owner/name on the Hugging Face hub."
        )
    repository = text if row is None or row.repository is None else row.repository
    fetched = fetch(repository, licence=_licence(repository))
    if judge(fetched.document, repository) == "own":
        raise ModelError(
            f"{repository} is a whole model of lexiseg's: give it as --model, there is nothing to assemble."
        )
    return Part(repository=repository, revision=fetched.revision), fetched.folder


def _clip(text: str, weights: str | None = None) -> "_Clip":
    """A CLIP by its name or place."""
    name, _, tag = text.partition(" ")
    for given in filter(None, (weights, text)):
        model = None if given == text else name
        if Path(given).exists():
            return _Clip(part=part_of_path(Path(given)), place=Path(given), name=model, tag=None)
        if is_hub_name(given):
            fetched = fetch(given, "clip")
            part = Part(repository=given, revision=fetched.revision)
            return _Clip(part=part, place=fetched.folder, name=model, tag=None)
    found = clip_repository(name, weights or tag or None)
    if found.repository is None:
        raise ModelError(
            f"the weights {found.tag} of {found.model} do not lie on the Hugging Face hub: get them at {found.address} "
            "and give the file."
        )
    fetched = fetch(found.repository, "clip", weights=found.weights)
    part = Part(repository=found.repository, revision=fetched.revision)
    return _Clip(part=part, place=fetched.folder, name=found.model, tag=found.tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """Where a CLIP lies, and what is known of it beside what lies there."""

    part: Part
    place: Path
    name: str | None
    """open_clip's of its architecture."""
    tag: str | None


def _joined(segmenter: Path, clip: "_Clip", **settings: Any) -> OPSNet:
    """Assembles; whatever is wrong with a published file is one sentence."""
    weights = None if clip.name is None else clip.place
    try:
        return joining.assemble(segmenter, clip.name or clip.place, weights, tag=clip.tag, **settings)
    except ValueError as error:
        raise ModelError(str(error)) from error
    except (TypeError, RuntimeError, ArithmeticError, AssertionError, MemoryError) as error:
        raise ModelError(
            f"{printable(segmenter)} describes no model that can be built "
            f"({' '.join(str(error).split())[:200] or type(error).__name__}): download it again, or choose another."
        ) from error


def _licence(repository: str) -> str:
    """What the authors of a named model's repository say."""
    row = row_of(repository)
    return "" if row is None else row.licence


def _of_hub(repository: str, *, label: str, licence: str = "") -> Path:
    kept = _kept(label, [repository, RN50])
    if _is_whole(kept):
        return kept
    fetched = fetch(repository, licence=licence)
    if judge(fetched.document, repository) == "own":
        return fetched.folder
    return _assembled(kept, Part(repository=repository, revision=fetched.revision), label)


def _of_path(path: Path) -> Path:
    """A checkpoint file, or a folder in transformers' layout."""
    label = printable(path)
    kept = _kept(path.stem, [os.path.realpath(path), stamp_of(path), RN50])
    if _is_whole(kept):
        return kept
    if path.is_dir():
        judge(read_json_object(path / CONFIG_FILE, ModelError), label)
        return _assembled(kept, part_of_path(path), label)
    try:
        shapes = {} if path.suffix == ".pkl" else {name: one.shape for name, one in read_tensors(path).items()}
    except ValueError as error:
        raise ModelError(str(error)) from error
    kind = "mask2former" if path.suffix == ".pkl" else kind_of_keys(shapes)
    if kind == "ovseg":
        return _once(kept, lambda: _of_ovseg(path, kept, label))
    if kind == "fcclip":
        return _once(kept, lambda: _of_fcclip(path, kept, shapes))
    if kind == "mask2former":
        return _assembled(kept, part_of_path(path), label)
    raise ModelError(
        f"{label} holds {'a CLIP alone' if kind == 'clip' else 'no model that is known here'}: give the checkpoint of "
        "an OVSeg, an FC-CLIP or a Mask2Former, or a folder with config.json."
    )


def _of_ovseg(path: Path, kept: Path, label: str) -> Path:
    """An official OVSeg."""
    logger.warning("%s is an OVSeg, whose published weights are for non-commercial use (CC BY-NC 4.0).", label)
    return _keep(kept, "ovseg", import_ovseg(path).model, {"checkpoint": part_of_path(path)}, {})


def _of_fcclip(path: Path, kept: Path, shapes: Mapping[str, tuple[int, ...]]) -> Path:
    """An official FC-CLIP, with the CLIP that its sizes tell where the file, as published, has none."""
    parts, place = {"checkpoint": part_of_path(path)}, None
    if not any(name.startswith("backbone.clip_model.") for name in shapes):
        try:
            deepest = shapes["sem_seg_head.pixel_decoder.input_proj.0.0.weight"][1]
            sizes = shapes["void_embedding.weight"][1], deepest
        except (KeyError, IndexError):
            sizes = (0, 0)
        if sizes not in FCCLIP_CLIPS:
            raise ModelError(
                f"{printable(path)} holds no CLIP, and none of those of the published FC-CLIPs has its sizes: "
                "import it with 'lexiseg import fcclip FILE --clip FILE'."
            )
        clip = _clip(FCCLIP_CLIPS[sizes])
        parts["clip"], place = clip.part, clip.place
    imported = import_fcclip(path, clip=place)
    for told_there in imported.notes:
        logger.warning("%s", told_there)
    return _keep(kept, "fcclip", imported.model, parts, {})


def _assembled(kept: Path, segmenter: Part, label: str) -> Path:
    """Joins a segmenter with the default CLIP, and keeps what was derived."""

    def make() -> Path:
        clip = _clip(RN50)
        logger.warning("Assembling %s with CLIP %s, once: it is kept in %s.", label, RN50, printable(kept))
        model = _joined(place_of(segmenter), clip)
        derived = {joining.CLASS_TEXT: model.state_dict()[joining.CLASS_TEXT]}
        return _keep(kept, "opsnet", model, {"segmenter": segmenter, "clip": clip.part}, derived)

    return _once(kept, make)


def _once(kept: Path, make: Callable[[], Path]) -> Path:
    """Makes a kept folder, unless another process has made it in the meantime."""
    with _alone(kept):
        return kept if _is_whole(kept) else make()


def _kept(label: str, key: list[str]) -> Path:
    """Where what is assembled of something is kept."""
    digest = hashlib.sha256(json.dumps([_FORMAT, lexiseg.__version__, *key]).encode()).hexdigest()[:12]
    slug = re.sub(r"[^\w.-]+", "-", label)[-80:].strip("-.") or "model"
    return default_cache_dir() / "models" / f"{slug}-{digest}"


def _keep(
    folder: Path,
    system: str,
    model: OpenVocabularySegmenter,
    parts: Mapping[str, Part],
    derived: Mapping[str, Tensor],
) -> Path:
    """Writes a folder that points to its parts and holds what was derived of them."""
    document = document_of(system, model.config, _provenance(parts), sources=sources_document(parts))
    return save_folder(folder, document, derived, overwrite=True)


def _provenance(parts: Mapping[str, Part]) -> Provenance:
    """Where a model of these parts comes from; a part's licence where the table of named models has it."""
    non_commercial = {row.repository for row in NAMED.values() if row.is_non_commercial and row.repository}
    sources = (
        Source(
            part=name,
            name=part.repository or Path(str(part.path)).name,
            licence="cc-by-nc-4.0" if part.repository in non_commercial else None,
            revision=part.revision or part.sha256,
        )
        for name, part in parts.items()
    )
    made = "imported" if "checkpoint" in parts else "assembled from published parts, without training"
    return Provenance(made=made, sources=tuple(sources))


def _is_whole(folder: Path) -> bool:
    """Whether a kept folder is there with all that it points to."""
    if not (folder / CONFIG_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
        return False
    try:
        parts = sources_of(folder)
        for part in parts.values():
            place_of(part)
    except ModelError:
        return False
    return bool(parts)


def _is_published(path: Path) -> bool:
    """Whether a folder holds a model in transformers' layout."""
    try:
        document = read_json_object(path / CONFIG_FILE)
    except ValueError:
        return False
    return "model_type" in document and "training_vocabulary" not in document


@contextmanager
def _alone(folder: Path) -> Generator[None, None, None]:
    """Waits until no other process makes a folder; where there are no locks, two make it one after the other."""
    with writing(folder, ModelError, way_out="set LEXISEG_CACHE to another folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    file, held = folder.with_name(f".{folder.name}.lock"), None
    try:
        while (held := lock(file)) is None:
            time.sleep(0.2)
    except OSError:
        pass
    try:
        yield
    finally:
        if held is not None:
            os.close(held)
