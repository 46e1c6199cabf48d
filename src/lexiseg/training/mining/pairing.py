"""One picture's pairs: its regions as crops, and for every noun the crop that CLIP finds most like it (OVSeg, 3.2).

The authors never released this step. What their paper and answers say is done as they say it: stage 1's proposals are
cut out as inference cuts them, each noun takes the region of the highest cosine under the original CLIP, and no pair is
rejected. What they do not say are fields of `MiningConfig`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, UInt8
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.batches import to_image_batch
from lexiseg.core.frames import Frame
from lexiseg.core.images import open_picture
from lexiseg.core.structures import ImageBatch
from lexiseg.core.vocabulary import VILD_TEMPLATES
from lexiseg.data.dataset import Dataset, Sample
from lexiseg.data.id_maps import Box, segments_of
from lexiseg.data.pairs.format import PairRecord
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.crops import RegionConfig, cut_regions, mask_probs_on

PairSource = Literal["labels", "true-masks", "proposals"]
SURE = 20.0
"""Logit of a true mask: its sigmoid is 1 for every threshold and fill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningConfig:
    """Where regions and words come from (the rows of the paper's Table 2), and what the paper leaves open."""

    source: PairSource = "proposals"
    """"labels": true masks with their annotated names; "true-masks": true masks with nouns; "proposals": proposed masks
    with nouns."""
    captions: int = 1
    """Captions of each picture that are read, from its first on; the paper has 1 and 5, and does not say which one. A
    noun that several captions hold makes one pair."""
    templates: tuple[str, ...] = VILD_TEMPLATES
    """Sentences around a noun where it is compared with crops; the paper names none, and both stages have ViLD's."""
    least_cosine: float = -1.0
    """Pairs below it are left out. The paper speaks of no threshold, and its counts leave little room for one."""
    regions: RegionConfig | None = None
    """How crops are cut; as the model's own inference does if not given."""
    shard_size: int = 128
    """Pictures of a shard."""

    def __post_init__(self) -> None:
        if self.source not in get_args(PairSource):
            raise ValueError(f"source must be one of {', '.join(get_args(PairSource))}, got {self.source!r}.")
        if self.captions < 1 or self.shard_size < 1:
            raise ValueError(f"captions and shard_size must be positive, got {self.captions} and {self.shard_size}.")

    @property
    def has_true_masks(self) -> bool:
        """Whether the regions are annotated ones."""
        return self.source != "proposals"

    @property
    def has_nouns(self) -> bool:
        """Whether the words come from captions."""
        return self.source != "labels"

    @property
    def title(self) -> str:
        """The source in words, as every pair carries it."""
        masks = "true masks" if self.has_true_masks else "proposals"
        captions = f"nouns of {self.captions} caption{'s' if self.captions > 1 else ''}"
        return f"{masks}, {captions if self.has_nouns else 'labels'}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedPicture:
    """A picture, and what is known of it before anything is proposed."""

    file_name: str
    picture: UInt8[np.ndarray, "H W 3"]
    ids: Int32[np.ndarray, "H W"] | None = None
    """Each pixel's segment; None where masks are to be proposed."""
    labels: Mapping[int, str] = field(default_factory=dict)
    """The names of the segments that are regions, by their ids."""


def opener(dataset: Dataset, config: MiningConfig) -> Callable[[Sample], AnnotatedPicture]:
    """What opens one sample, in any process.

    A panoptic segment is a region, unless it is a crowd; of a semantic map, all pixels of one class are.

    Raises:
        ValueError: if true masks are wanted, and the data set has none.
    """
    if not config.has_true_masks:
        return _open_picture
    if dataset.kinds.isdisjoint(("panoptic", "semantic")):
        raise ValueError(
            f"the source {config.source} needs panoptic or semantic masks, and the data set has none: take "
            "proposals, or another data set."
        )
    return partial(_open_segments, replace(dataset, samples=()))


def pairs_of(
    model: OpenVocabularySegmenter,
    annotated: AnnotatedPicture,
    nouns: Sequence[str],
    text_embed: Float[Tensor, "N D"],
    config: MiningConfig,
) -> list[PairRecord]:
    """The pairs of one picture: one for every noun, or for every segment where its label is the word.

    Args:
        model: proposes, and carries the CLIP; its prompts take no part.
        annotated: the picture.
        nouns: of its captions; not read for labels.
        text_embed: their embeddings, unit rows on the CPU.
        config: `regions` is set.
    """
    sides = {"longest": model.config.longest_side, "shortest": model.config.shortest_side}
    images = to_image_batch([annotated.picture], **sides, resizing=model.resizing)
    (frame,) = images.frames
    images = images.to(next(model.parameters()).device)
    if annotated.ids is None:
        mask_logits = model.propose(images).mask_logits
    else:
        mask_logits = _true_mask_logits(annotated, frame).to(images.pixel_values.device)
    regions = _cut_out(model, images, mask_logits, config)
    if not regions.queries:
        return []
    if config.has_nouns:
        cosines, places = (text_embed @ torch.cat(regions.embeds).T).max(dim=1)
        found = zip(nouns, places.tolist(), [round(cosine, 6) for cosine in cosines.tolist()], strict=True)
        chosen = [(word, place, cosine) for word, place, cosine in found if cosine >= config.least_cosine]
    else:
        labels = list(annotated.labels.values())
        chosen = [(labels[query], place, None) for place, query in enumerate(regions.queries)]
    return [
        PairRecord(
            crop=regions.crops[place],
            mask=regions.masks[place],
            word=word,
            picture=annotated.file_name,
            score=score,
            box=_box(mask_logits[0, regions.queries[place]], frame, config),
            source=config.title,
        )
        for word, place, score in chosen
    ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Regions:
    """The regions of one picture whose crops show a pixel of them, in one order."""

    queries: list[int] = field(default_factory=list)
    """The mask of each."""
    crops: list[UInt8[np.ndarray, "S S 3"]] = field(default_factory=list)
    masks: list[Bool[np.ndarray, "S S"]] = field(default_factory=list)
    embeds: list[Float[Tensor, "M D"]] = field(default_factory=list)
    """Pass by pass, unit rows under plain CLIP; none for labels."""


def _cut_out(
    model: OpenVocabularySegmenter, images: ImageBatch, mask_logits: Float[Tensor, "1 Q h w"], config: MiningConfig
) -> _Regions:
    regions = _Regions()
    assert config.regions is not None, "filled in by mine"
    for cut in cut_regions(images, mask_logits, config.regions, model.clip.config.image_size):
        is_there = cut.masks.flatten(1).any(1)  # nearest may miss a region that is a few pixels wide
        pixel_values = cut.pixel_values[is_there]
        colours = pixel_values.clamp(0, 1) * 255  # bicubic overshoots, which CLIP sees and bytes can't hold
        regions.queries.extend(cut.queries[is_there].tolist())
        regions.crops.extend(colours.round().byte().permute(0, 2, 3, 1).cpu().numpy())
        regions.masks.extend(cut.masks[is_there].cpu().numpy())
        if config.has_nouns and len(pixel_values):
            regions.embeds.append(F.normalize(model.clip.encode_image(pixel_values).float(), dim=-1).cpu())
    return regions


def _open_picture(sample: Sample) -> AnnotatedPicture:
    return AnnotatedPicture(file_name=sample.file_name, picture=open_picture(sample.image_path))


def _open_segments(dataset: Dataset, sample: Sample) -> AnnotatedPicture:
    loaded = dataset.load(sample)
    segmentation = loaded.annotation.to_segmentation(dataset.categories)
    names = {category.id: category.name for category in dataset.categories}
    labels = {segment.id: names[segment.category_id] for segment in segmentation.segments if not segment.is_crowd}
    return AnnotatedPicture(file_name=sample.file_name, picture=loaded.picture, ids=segmentation.ids, labels=labels)


def _true_mask_logits(annotated: AnnotatedPicture, frame: Frame) -> Float[Tensor, "1 N H W"]:
    """Masks on the padded canvas: a pixel is inside where most of what it covers is."""
    ids = torch.from_numpy(annotated.ids)
    logits = torch.empty(1, len(annotated.labels), *frame.padded)
    for place, segment in enumerate(annotated.labels):
        inside = frame.enter((ids == segment)[None].float())[0] > 0.5
        logits[0, place] = torch.where(inside, SURE, -SURE)
    return logits


def _box(mask_logits: Float[Tensor, "h w"], frame: Frame, config: MiningConfig) -> Box:
    """A region's box in the original picture's pixels: all that it touches."""
    assert config.regions is not None, "filled in by mine"
    mask = mask_probs_on(mask_logits, frame) > config.regions.mask_threshold
    ((_, (x, y, width, height)),) = segments_of(mask.int().cpu().numpy()).values()
    down, across = (original / resized for original, resized in zip(frame.original, frame.resized, strict=True))
    left, top = math.floor(x * across), math.floor(y * down)
    right, bottom = math.ceil((x + width) * across), math.ceil((y + height) * down)
    return left, top, min(right, frame.original[1]) - left, min(bottom, frame.original[0]) - top
