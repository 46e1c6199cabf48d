"""A tiny OPSNet of random weights on drawn scenes, and the same with masks that know the truth."""

from collections.abc import Sequence
from dataclasses import replace

import torch

import tiny
from lexiseg.core.structures import MaskProposals
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.loading import AnnotatedBatch, Skipped, batched, open_all
from lexiseg.evaluation.metrics.panoptic_quality import ClassTally, PanopticQuality
from lexiseg.models.opsnet import OPSNet, OPSNetConfig
from lexiseg.models.postprocess.panoptic import MergeConfig
from lexiseg.storybook.roles import NOVEL, SHARED, UNSEEN

ONE_TEMPLATE = ("a photo of a {}.",)
WORDS = Vocabulary.of(NOVEL, ONE_TEMPLATE)
GROUPS = {"shared": SHARED, "unseen": UNSEEN}
LOOSE = MergeConfig(score_threshold=0.0, overlap_threshold=0.1)
"""Random weights are sure of nothing: without a score filter there is something to count."""


def random_opsnet() -> OPSNet:
    """A tiny OPSNet that sees and says something of everything, and nothing that is right."""
    torch.random.default_generator.manual_seed(0)
    config = OPSNetConfig(
        segmenter=replace(tiny.RESNET, num_queries=5),
        clip=tiny.CLIP,
        training_vocabulary=Vocabulary.of("storybook", ONE_TEMPLATE),
        longest_side=96,
    )
    made = OPSNet(config)
    with torch.no_grad():  # initial weights see and say the same of everything; these differ
        for parameter in (made.adapter.weight, made.adapter.bias, made.clip.clip.token_embedding.weight):
            parameter.normal_()
        for norm in made.clip.visual.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.weight.uniform_(0.5, 2.0)
                norm.bias.normal_()
    return made


class Knowing(torch.nn.Module):
    """Proposes the true masks, one after the other, in the order in which the evaluator reads the pictures."""

    def __init__(self, batches: Sequence[AnnotatedBatch]) -> None:
        super().__init__()
        self._batches = iter(batches)

    def forward(self, pixel_values: torch.Tensor, *, every_layer: bool = False) -> MaskProposals:
        batch = next(self._batches)
        assert len(batch.annotations) == len(pixel_values)
        canvas = pixel_values.shape[-2:]
        mask_logits = torch.full((len(pixel_values), 16, *canvas), -20.0)
        for index, truth in enumerate(batch.annotations):
            for query, segment in enumerate(truth.panoptic.segments[:16]):
                height, width = truth.panoptic.ids.shape
                inside = torch.from_numpy(truth.panoptic.ids == segment.id)
                mask_logits[index, query, :height, :width] = torch.where(inside, 20.0, -20.0)
        return MaskProposals(mask_logits=mask_logits, query_embed=torch.zeros(len(pixel_values), 16, 32))


def read(dataset: Dataset, *, batch_size: int = 4) -> list[AnnotatedBatch | Skipped]:
    opened = open_all(dataset.load, dataset.samples)
    return list(batched(opened, longest=96, batch_size=batch_size))


def batches_of(dataset: Dataset) -> list[AnnotatedBatch]:
    return [part for part in read(dataset) if isinstance(part, AnnotatedBatch)]


def figures(quality: PanopticQuality) -> tuple[float, ...]:
    parts = (quality.all, quality.things, quality.stuff)
    return tuple(value for part in parts for value in (part.pq, part.sq, part.rq))


def tallies(quality: PanopticQuality) -> tuple[ClassTally, ...]:
    """What figures are made of; tells two answers apart even where both are wrong."""
    return tuple(c.tally for c in quality.per_class)
