"""Verifying an imported OVSeg against recorded outputs of the official program, per stage and end to end."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.concepts import Concept
from lexiseg.core.errors import ModelError
from lexiseg.core.frames import Frame
from lexiseg.core.messages import printable
from lexiseg.core.structures import ImageBatch, MaskProposals, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.core.weights import read_tensors
from lexiseg.encoders import colours
from lexiseg.io.ovseg.settings import read_settings
from lexiseg.layers.ensemble import CLIP_BRANCH_ONLY, MASKFORMER_ONLY, EnsembleConfig, ensemble_scores
from lexiseg.models.ovseg import OVSeg
from lexiseg.models.postprocess.panoptic import mask_probs_of
from lexiseg.models.postprocess.semantic import soft_semantic_map

MAX_DIFFERENCE = 1e-3
"""Largest difference of two values, as a share of the reference's largest magnitude."""
MIN_AGREEMENT = 0.999
"""Share of pixels whose class must be the reference's."""
REFERENCE_SCALE = 100.0
"""Logit scale of the cosines in the reference's clip_logits."""

_FEATURES = tuple(f"backbone.res{stage}" for stage in (2, 3, 4, 5))
_MAPS = ("sem_seg", "sem_seg_no_ensemble")
_SIDES = ("stage alone", "in a row", "")
_CUT_FROM_OWN_MASKS = ("valid", "clip_logits", "sem_seg")
"""Outputs that one pixel at the mask threshold may change, where masks are the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCheck:
    """One tensor's largest difference, relative to the reference's largest magnitude."""

    name: str
    staged: float
    """Of the stage that computes it, from the reference's own inputs of that stage."""
    overall: float
    """Of the whole model, from picture and words."""

    @property
    def holds(self) -> bool:
        """Whether it is within tolerance; for outputs of crops of the model's own masks, `staged` decides."""
        return self.staged <= MAX_DIFFERENCE and (self.overall <= MAX_DIFFERENCE or self.name in _CUT_FROM_OWN_MASKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapCheck:
    """One semantic map's share of pixels with the reference's class."""

    name: str
    staged: float
    overall: float

    @property
    def holds(self) -> bool:
        """Whether enough of them agree."""
        return min(self.staged, self.overall) >= MIN_AGREEMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """All checks of a model against one reference."""

    tensors: tuple[TensorCheck, ...]
    maps: tuple[MapCheck, ...]

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in (*self.tensors, *self.maps))

    def tables(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Titles and rows for a terminal, the first row the heading; maps in percent."""
        tensors = [
            (c.name, f"{c.staged:.1e}", f"{c.overall:.1e}", "" if c.holds else "too large") for c in self.tensors
        ]
        maps = [
            (c.name, f"{100 * c.staged:.3f}", f"{100 * c.overall:.3f}", "" if c.holds else "too few") for c in self.maps
        ]
        return [
            (f"Largest relative difference (limit {MAX_DIFFERENCE:g})", [("tensor", *_SIDES), *tensors]),
            (f"Pixels of the same class, in % (limit {100 * MIN_AGREEMENT:g})", [("map", *_SIDES), *maps]),
        ]

    def to_jsonable(self) -> dict[str, object]:
        """Fractions; null where a value is no number."""

        def sides(check: TensorCheck | MapCheck) -> dict[str, float | None]:
            values = {"alone": check.staged, "in_a_row": check.overall}
            return {side: value if math.isfinite(value) else None for side, value in values.items()}

        return {
            "holds": self.holds,
            "differences": {check.name: sides(check) for check in self.tensors},
            "agreements": {check.name: sides(check) for check in self.maps},
        }


def read_reference(path: Path) -> dict[str, Tensor]:
    """Reads recorded inputs and outputs of the official program for one picture.

    `image` (3 H W, uint8 RGB, fed at its own size); `backbone.res2` to `backbone.res5` (C h w); `class_embed` (Q D,
    before normalisation); `mask_logits` (Q h w); `text_embed` (K+1 D, the last row is no-object); `valid` (Q);
    `clip_logits` (valid Q, K+1); `sem_seg` and `sem_seg_no_ensemble` (K H W).

    Raises:
        ModelError: if the file is missing or damaged, or lacks one of these tensors.
    """
    name = printable(path)
    if not path.is_file():
        raise ModelError(f"there is no reference {name}; give a .safetensors file.")
    try:
        found = read_tensors(path)
    except ValueError as error:
        raise ModelError(f"the reference {name} is damaged or no safetensors file; copy it again.") from error
    needed = ("image", *_FEATURES, "class_embed", "mask_logits", "text_embed", "valid", "clip_logits", *_MAPS)
    if missing := [key for key in needed if key not in found]:
        raise ModelError(f"the reference {name} lacks {', '.join(missing)}; record it again.")
    if found["image"].ndim != 3 or found["image"].dtype != torch.uint8:
        raise ModelError(f"the image of the reference {name} must be 3 x H x W bytes; record it again.")
    if len(found["clip_logits"]) != int(found["valid"].sum()):
        raise ModelError(f"the reference {name} must have a row of clip_logits for each valid mask; record it again.")
    return {key: found[key] for key in needed}


def reference_words(path: Path, settings: Mapping[str, object]) -> list[str]:
    """The words that a reference was made with: from the configuration, or from the config.json beside the reference.

    Raises:
        ModelError: if neither lists them.
    """
    beside = path.with_name("config.json")
    if "class_names" not in settings and beside.is_file():
        settings = read_settings(beside)
    names = settings.get("class_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"the words of the reference {printable(path)} are unknown; "
            'list them as "class_names" in the --config or in a config.json beside it.'
        )
    return names


@torch.no_grad()
def verify(model: OVSeg, reference: Mapping[str, Tensor], class_names: Sequence[str]) -> Verification:
    """Compares a model with a reference on its picture and words.

    Args:
        model: on the CPU, in eval mode.
        reference: from `read_reference`.
        class_names: the K names that the reference was made with.

    Raises:
        ModelError: if the reference was made with a model of other sizes or with other words.
    """
    inputs = _Inputs.of(model, reference["image"], class_names)
    valid = reference["valid"]
    every_row = reference["clip_logits"].new_zeros(len(valid), reference["clip_logits"].shape[1])
    every_row[valid] = reference["clip_logits"]
    expected = {**reference, "clip_logits": every_row}
    staged: dict[str, Tensor] = {}
    overall: dict[str, Tensor] = {}
    for stage in _STAGES:
        overall |= stage(inputs, overall)
        _check_shapes(overall, expected)
        staged |= stage(inputs, expected)
    maps = {}
    for name, ensemble in (("sem_seg", None), ("sem_seg_no_ensemble", MASKFORMER_ONLY)):
        answer = model(inputs.images, inputs.words, ensemble)
        maps[name] = torch.from_numpy(soft_semantic_map(answer, 0, inputs.frame))
    return Verification(
        tensors=tuple(
            TensorCheck(
                name=name,
                staged=_difference(found, expected[name]),
                overall=_difference(overall[name], expected[name]),
            )
            for name, found in staged.items()
        ),
        maps=tuple(
            MapCheck(
                name=name,
                staged=_agreement(staged[name].argmax(0), expected[name].argmax(0)),
                overall=_agreement(found, expected[name].argmax(0)),
            )
            for name, found in maps.items()
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Inputs of every stage: the model, the picture and the words."""

    model: OVSeg
    images: ImageBatch
    frame: Frame
    words: VocabularyEmbeddings

    @staticmethod
    def of(model: OVSeg, image: Tensor, class_names: Sequence[str]) -> "_Inputs":
        height, width = image.shape[1:]
        frame = Frame.fit((height, width), longest=max(height, width))
        # the official padding, zero when normalised
        canvas = torch.tensor(colours.IMAGENET.mean)[:, None, None].repeat(1, *frame.padded)
        canvas[:, :height, :width] = image.float() / 255
        words = model.embed_vocabulary(Vocabulary(tuple(Concept(name) for name in class_names)), negatives=False)
        return _Inputs(
            model=model, images=ImageBatch(pixel_values=canvas[None], frames=(frame,)), frame=frame, words=words
        )


_Given = Mapping[str, Tensor]


def _backbone(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    features = inputs.model.segmenter.features(inputs.images.pixel_values)
    return {name: feature[0] for name, feature in zip(_FEATURES, features, strict=True)}


def _decoder(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    proposals = inputs.model.segmenter.decode(tuple(given[name][None] for name in _FEATURES))
    return {"mask_logits": proposals.mask_logits[0], "class_embed": inputs.model.head.project(proposals.query_embed)[0]}


def _words(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    return {"text_embed": torch.cat([inputs.words.text_embed, F.normalize(inputs.model.head.void_embed, dim=0)[None]])}


def _crops(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    model = inputs.model
    proposals = MaskProposals(mask_logits=given["mask_logits"][None], query_embed=given["class_embed"][None])
    regions = model.look(inputs.images, proposals, _query_logits(model, given)[None], CLIP_BRANCH_ONLY)
    return {
        "valid": regions.has_pixels[0],
        "clip_logits": regions.clip_embed[0] @ given["text_embed"].T * REFERENCE_SCALE,
    }


def _maps(inputs: _Inputs, given: _Given) -> dict[str, Tensor]:
    model = inputs.model
    masks = torch.stack([mask_probs_of(logits, inputs.frame) for logits in given["mask_logits"]])

    def soft_map(ensemble: EnsembleConfig) -> Float[Tensor, "K H W"]:
        scores = ensemble_scores(
            _query_logits(model, given)[None],
            given["clip_logits"][None, :, :-1],
            given["valid"][None],
            inputs.words.similarity == 1,
            ensemble,
        )
        return torch.einsum("qk,qhw->khw", scores[0].exp(), masks)

    return {"sem_seg": soft_map(model.config.ensemble), "sem_seg_no_ensemble": soft_map(MASKFORMER_ONLY)}


_STAGES: tuple[Callable[[_Inputs, _Given], dict[str, Tensor]], ...] = (_backbone, _decoder, _words, _crops, _maps)


def _query_logits(model: OVSeg, given: _Given) -> Float[Tensor, "Q K1"]:
    return F.normalize(given["class_embed"], dim=-1) @ given["text_embed"].T * model.config.logit_scale


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"the reference's {name} has the shape {list(expected[name].shape)}, the model's {list(tensor.shape)}: "
                "it was made with another model or with other words."
            )


def _difference(found: Tensor, expected: Tensor) -> float:
    found, expected = found.float(), expected.float()
    scale = expected.abs().max()
    return float((found - expected).abs().max() / (scale if scale > 0 else 1))


def _agreement(found: Tensor, expected: Tensor) -> float:
    return float((found == expected).float().mean())
