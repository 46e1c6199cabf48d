"""Fine-tuning of a trained model on a person's own pictures: new names are learned, and the old ones stay.

What the model knew is kept in three ways: its training vocabulary is joined with the new names, never replaced;
pictures of the data that it was trained on can be mixed in; and of all states on the way that one is kept which is best
on pictures that were held out, the old ones' too where there are some.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch

from lexiseg.core.concepts import same_word
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.instance_format import InstanceDataset
from lexiseg.data.panoptic_format import Category, PanopticDataset
from lexiseg.data.samples import (
    AnnotatedDataset,
    MixedDataset,
    SegmentationDataset,
    example_generator,
    mixed_keys,
    of_old,
    training_keys,
)
from lexiseg.data.semantic_format import SemanticDataset
from lexiseg.data.transforms import Framing
from lexiseg.evaluation.evaluator import EvaluationSettings, evaluate
from lexiseg.models.network import Network
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.training.criterion import CriterionConfig
from lexiseg.training.panoptic import OPSNetTask
from lexiseg.training.recipes_ovseg import MASKFORMER_LOSSES
from lexiseg.training.segmentation import SegmentationRecipe
from lexiseg.training.semantic import OVSegRecipe, OVSegTask
from lexiseg.training.trainer import OptimConfig

HEADLINE: Mapping[str, str] = {"panoptic": "pq", "semantic": "miou", "instance": "ap"}
"""The figure that a state is chosen by, by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe:
    """Everything that decides a fine-tuning, but model and pictures."""

    trains: Literal["head", "whole"]
    """"head": projection, query enhancer, no-object embedding and IoU head; masks stay as they are. "whole": the
    segmenter too. CLIP stays frozen in both."""
    steps: int
    batch_size: int
    optim: OptimConfig
    backbone_lr_scale: float = 1.0
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Large-scale jitter of the pictures."""
    old_share: float = 0.5
    """Share of the pictures that are of the old data, where there are some."""
    held_out_share: float = 0.2
    """Share of either data that is never trained on."""
    seed: int = 0


DatasetT = TypeVar("DatasetT", PanopticDataset, SemanticDataset, InstanceDataset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Pictures to learn from, pictures to measure on, and the words for both."""

    train: AnnotatedDataset
    held_out: AnnotatedDataset
    vocabulary: Vocabulary
    """One concept per category."""

    @staticmethod
    def of(dataset: AnnotatedDataset, vocabulary: Vocabulary, recipe: FinetuneRecipe) -> "Source":
        """Splits a data set."""
        train, held_out = split(dataset, recipe.held_out_share, seed=recipe.seed)
        return Source(train=train, held_out=held_out, vocabulary=vocabulary)


def split(dataset: DatasetT, held_out_share: float, *, seed: int) -> tuple[DatasetT, DatasetT]:
    """Parts a data set at random into pictures to train on and pictures that are held out, one of each at least.

    Raises:
        ValueError: if it has less than two pictures.
    """
    total = len(dataset.samples)
    if total < 2:
        raise ValueError(
            f"fine-tuning holds some pictures out to see when to stop, so it needs two or more, got {total}: add some."
        )
    order = torch.randperm(total, generator=example_generator(seed)).tolist()
    number = min(total - 1, max(1, round(held_out_share * total)))
    return _only(dataset, sorted(order[number:])), _only(dataset, sorted(order[:number]))


def _only(dataset: DatasetT, places: Sequence[int]) -> DatasetT:
    return replace(dataset, samples=tuple(dataset.samples[place] for place in places))


def words_of(categories: Sequence[Category], templates: tuple[str, ...]) -> Vocabulary:
    """A data set's categories as a vocabulary."""
    return Vocabulary(tuple(Concept(c.name, is_thing=c.is_thing) for c in categories), templates)


def joined(old: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The old concepts in their order, then the new ones; one that shares a name with an old one adds its names to it.

    Thing or stuff, where both know a concept, and the templates are the old vocabulary's.
    """
    concepts = list(old.concepts)
    owner = {same_word(name): place for place, concept in enumerate(concepts) for name in concept.names}
    for concept in new.concepts:
        places = [owner[same_word(name)] for name in concept.names if same_word(name) in owner]
        fresh = tuple(name for name in concept.names if same_word(name) not in owner)
        if places:
            place = places[0]
            concepts[place] = replace(concepts[place], synonyms=(*concepts[place].synonyms, *fresh))
        else:
            place = len(concepts)
            concepts.append(concept)
        owner |= {same_word(name): place for name in fresh}
    return Vocabulary(tuple(concepts), old.templates)


def class_ids_of(categories: Sequence[Category], asked: Vocabulary, training: Vocabulary) -> dict[int, int]:
    """For every category's id its concept in the training vocabulary, found through the words that are asked for.

    Raises:
        ValueError: naming the first category without a word.
    """
    known = {same_word(name): place for place, concept in enumerate(training.concepts) for name in concept.names}
    words = {same_word(name): concept for concept in asked.concepts for name in concept.names}
    found = {}
    for category in categories:
        concept = words.get(same_word(category.name))
        if concept is None:
            raise ValueError(
                f"the data set's category {category.name!r} is not in the vocabulary: add it, or leave --vocabulary "
                "out to take the categories as they are."
            )
        found[category.id] = known[same_word(concept.name)]
    return found


class _Mixture:
    """The pictures of a fine-tuning: new ones, and old ones among them where there are some."""

    def __init__(self, recipe: FinetuneRecipe, new: Source, old: Source | None) -> None:
        self.recipe, self.new, self.old = recipe, new, old

    def dataset(self, training: Vocabulary, framing: Framing, *, per_class: bool) -> MixedDataset:
        """What a loader asks for examples."""
        return MixedDataset(
            [
                SegmentationDataset(
                    source.train,
                    class_ids_of(source.train.categories, source.vocabulary, training),
                    framing,
                    per_class=per_class,
                    seed=self.recipe.seed,
                )
                for source in (self.new, self.old)
                if source is not None
            ]
        )

    def keys(self, start: int) -> Iterator[tuple[int, int, int]]:
        """What a loader asks for, from example `start` on."""
        share = self.recipe.old_share if self.old is not None else 0.0
        seen_old = of_old(start, share)
        new = training_keys(len(self.new.train.samples), seed=self.recipe.seed, start=start - seen_old)
        old = (
            training_keys(len(self.old.train.samples), seed=self.recipe.seed, start=seen_old)
            if self.old is not None
            else iter(())
        )
        return mixed_keys(new, old, share, start=start)
