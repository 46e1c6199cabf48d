"""How often segments get the right node at every level of the taxonomy (OPSNet, section 4.4 and Figure 5)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from lexiseg.core.pool import ProgressCallback
from lexiseg.core.structures import Guess
from lexiseg.core.tables import percent
from lexiseg.core.taxonomy import taxonomy
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.evaluation.loading import Skipped
from lexiseg.evaluation.oracles import match_proposals, true_proposals
from lexiseg.evaluation.plan import filled, inference, plan_evaluation, planned_batches
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import to_jsonable
from lexiseg.models.base import EncodedImages, OpenVocabularySegmenter
from lexiseg.models.postprocess.hierarchy import NameTree, descend

Masks = Literal["true", "predicted"]
"""Every true segment's own mask; or the proposal that overlaps it most, if that has an IoU above one half."""
Way = Literal["names", "means", "sums", "best"]
"""Descents by the names of inner nodes, by means of the embeddings of the concepts below them, or by sums of concepts'
probabilities; or the place of the best single concept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAccuracy:
    """How many segments have the right node at one level, and at all levels above it."""

    masks: Masks
    way: Way
    level: int | None
    """1 is "thing" or "stuff"; None is the concept, at whatever level it is."""
    correct: int
    count: int
    """Segments whose true path goes so far down."""

    @property
    def accuracy(self) -> float:
        """The share of segments whose node is right; 0 if there are none."""
        return self.correct / self.count if self.count else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HierarchyAccuracy:
    """The figures of a data set."""

    levels: tuple[LevelAccuracy, ...]
    num_segments: int
    """True segments, crowds left out."""
    num_pictures: int
    unreadable: tuple[Skipped, ...]

    def of(self, masks: Masks, way: Way, level: int | None) -> LevelAccuracy:
        """One of the figures.

        Raises:
            KeyError: if no path has such a level.
        """
        for one in self.levels:
            if (one.masks, one.way, one.level) == (masks, way, level):
                return one
        raise KeyError(f"no path has a level {level}")

    def table(self) -> tuple[tuple[str, ...], ...]:
        """Rows for a terminal, the first one the heading: percent right at every level."""
        levels = list(dict.fromkeys(one.level for one in self.levels))
        heading = ("masks", "way", *("concept" if level is None else f"level {level}" for level in levels), "segments")
        rows = [
            (
                masks,
                way,
                *(percent(self.of(masks, way, level).accuracy) for level in levels),
                str(self.of(masks, way, None).count),
            )
            for masks in get_args(Masks)
            for way in get_args(Way)
        ]
        return heading, *rows

    def to_jsonable(self) -> dict[str, Any]:
        """What JSON can hold."""
        return to_jsonable(self) | {"levels": [to_jsonable(one) | {"accuracy": one.accuracy} for one in self.levels]}


def hierarchy_accuracy(
    model: OpenVocabularySegmenter,
    dataset: Dataset,
    vocabulary: Vocabulary,
    settings: EvaluationSettings | None = None,
    *,
    report: ProgressCallback = lambda done, total: None,
) -> HierarchyAccuracy:
    """Descends the taxonomy for true and for predicted masks, in every way, in one pass over the data.

    A true mask goes through the model as if it had been proposed, with the query of the proposal that overlaps it most
    (`oracles.true_proposals`). Neither filter nor merge take part, and no negatives: what is measured is naming.

    Args:
        model: any system.
        dataset: samples with panoptic annotations.
        vocabulary: one concept per category, with a path each.
        settings: limit, batch size, fusion, precision and cache; the papers' protocol if not given.
        report: called after every batch with the samples done and their number.

    Raises:
        ValueError: if a concept has no path, vocabulary and categories do not fit one another, or no picture can be
            read.
    """
    if pathless := [concept.name for concept in vocabulary.concepts if not concept.path]:
        raise ValueError(f"every concept needs a place in the taxonomy, but {pathless[0]!r} has no path: give it one.")
    settings = replace(filled(settings, model), task="panoptic", negatives=False)
    counts: Counter[tuple[Masks, Way, int | None, bool]] = Counter()
    skipped: list[Skipped] = []
    num_pictures = num_segments = 0
    with inference(model, settings.precision):
        plan = plan_evaluation(model, dataset, vocabulary, settings)
        tree, root, names = NameTree.of(plan.vocabulary), taxonomy(plan.vocabulary), plan.vocabulary.names
        nodes = model.embed_vocabulary(tree.nodes, negatives=False, cache_dir=settings.cache_dir)
        nodes = plan.words.followed_by(nodes.to(plan.words.text_embed.device))
        means = tree.with_means(nodes)
        concepts = zip(plan.vocabulary.concepts, names, strict=True)
        true_paths = [(*concept.path, name) for concept, name in concepts]

        def count(
            masks: Masks, encoded: EncodedImages, index: int, queries: Sequence[int], truth: Sequence[int]
        ) -> None:
            class_logits = model.answer(encoded, plan.words, plan.fusion).class_logits[index].float()
            probs = class_logits.softmax(-1)[list(queries)].cpu()
            by_names, by_means = (
                tree.descents(words, lambda some: model.answer(encoded, some, plan.fusion))(index)(queries)
                for words in (nodes, means)
            )
            ways: dict[Way, list[tuple[str, ...]]] = {
                "names": _names(by_names),
                "means": _names(by_means),
                "sums": _names([descend(row, root, names) for row in probs]),
                "best": [true_paths[best] for best in probs.argmax(-1).tolist()],
            }
            for way, paths in ways.items():
                for path, place in zip(paths, truth, strict=True):
                    counts.update((masks, way, *level) for level in _levels(path, true_paths[place]))

        for batch in planned_batches(model, plan, settings, skipped, report):
            images = batch.images.to(plan.words.text_embed.device)
            encoded = model.encode(images)
            prediction = model.answer(encoded, plan.words, plan.fusion)
            for index, (frame, annotation) in enumerate(zip(images.frames, batch.annotations, strict=True)):
                segmentation = annotation.to_segmentation(plan.measure.categories)
                matched = match_proposals(plan.answer(prediction, index, frame), segmentation)
                places = range(len(matched.segments))
                num_pictures, num_segments = num_pictures + 1, num_segments + len(places)
                best = {place: int(matched.iou[:, place].argmax()) for place in places}
                found = [place for place in places if matched.matched[best[place]] == place]
                true = [matched.true_name(place) for place in places]
                count("predicted", encoded, index, [best[p] for p in found], [true[p] for p in found])
                masks = true_proposals(matched, encoded.proposals.query_embed[index])
                if masks is not None:
                    count("true", model.encode(images.only(index), masks), 0, places, true)
    levels = [*range(1, max(map(len, true_paths)) + 1), None]
    return HierarchyAccuracy(
        levels=tuple(
            LevelAccuracy(
                masks=masks, way=way, level=level, correct=right, count=right + counts[masks, way, level, False]
            )
            for masks in get_args(Masks)
            for way in get_args(Way)
            for level in levels
            for right in [counts[masks, way, level, True]]
        ),
        num_segments=num_segments,
        num_pictures=num_pictures,
        unreadable=tuple(skipped),
    )


def _names(paths: Sequence[tuple[Guess, ...]]) -> list[tuple[str, ...]]:
    return [tuple(step.name for step in path) for path in paths]


def _levels(path: tuple[str, ...], true: tuple[str, ...]) -> list[tuple[int | None, bool]]:
    """For every level of the true path whether all goes well down to it; last whether the concept is right."""
    levels: list[tuple[int | None, bool]] = [(depth, path[:depth] == true[:depth]) for depth in range(1, len(true) + 1)]
    return [*levels, (None, path == true)]
