"""Verifying an imported OVSeg against recorded outputs of the official program, per stage and end to end."""

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
from lexiseg.core.structures import ImageBatch, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import colours
from lexiseg.io import verification
from lexiseg.io.ovseg.settings import read_settings
from lexiseg.io.verification import Check, Verification, agreement, check_shape, difference
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
_CUT_FROM_OWN_MASKS = ("valid", "clip_logits", "sem_seg")
"""Outputs that one pixel at the mask threshold may change, where masks are the model's own."""


def read_reference(path: Path) -> dict[str, Tensor]:
    """Reads recorded inputs and outputs of the official program for one picture.

    `image` (3 H W, uint8 RGB, fed at its own size); `backbone.res2` to `backbone.res5` (C h w); `class_embed` (Q D,
    before normalisation); `mask_logits` (Q h w); `text_embed` (K+1 D, the last row is no-object); `valid` (Q);
    `clip_logits` (valid Q, K+1); `sem_seg` and `sem_seg_no_ensemble` (K H W).

    Raises:
        ModelError: if the file is missing or damaged, or lacks one of these tensors.
    """
    needed = ("image", *_FEATURES, "class_embed", "mask_logits", "text_embed", "valid", "clip_logits", *_MAPS)
    found, name = verification.read_reference(path, needed), printable(path)
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
        for name, output in overall.items():
            check_shape(output, expected[name], name)
        staged |= stage(inputs, expected)
    maps = {}
    for name, ensemble in (("sem_seg", None), ("sem_seg_no_ensemble", MASKFORMER_ONLY)):
        answer = model(inputs.images, inputs.words, ensemble)
        maps[name] = torch.from_numpy(soft_semantic_map(answer, 0, inputs.frame))
    return Verification(
        checks=(
            *(
                Check(
                    name=name,
                    staged=difference(found, expected[name], name=name, relative=True),
                    overall=difference(overall[name], expected[name], name=name, relative=True),
                    limit=MAX_DIFFERENCE,
                    kind="relative difference",
                    stage_decides=name in _CUT_FROM_OWN_MASKS,
                )
                for name, found in staged.items()
            ),
            *(
                Check(
                    name=name,
                    staged=agreement(staged[name].argmax(0), expected[name].argmax(0), name=name),
                    overall=agreement(found, expected[name].argmax(0), name=name),
                    limit=MIN_AGREEMENT,
                    kind="agreement",
                )
                for name, found in maps.items()
            ),
        )
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
    crops = model.crops(inputs.images, given["mask_logits"][None])
    regions = model.look(crops, _query_logits(model, given)[None], CLIP_BRANCH_ONLY)
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
