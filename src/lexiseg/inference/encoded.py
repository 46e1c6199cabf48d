"""Pictures that a model has looked at, and what they are asked."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from lexiseg.core.devices import Precision, computing
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, VocabularyEmbeddings
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.result import Result
from lexiseg.inference.source import Item
from lexiseg.models.base import EncodedImages, Fusion, OpenVocabularySegmenter
from lexiseg.models.best_regions import best_regions
from lexiseg.models.postprocess.hierarchy import NameTree
from lexiseg.models.postprocess.instances import Instance, instances
from lexiseg.models.postprocess.panoptic import MergeConfig, RankBy, panoptic_map

VocabularyLike = Vocabulary | str | Path | list[Any] | tuple[Any, ...]
LOOK_AHEAD = 4
"""Batches of pictures, answered ones among them, that wait for their turn at most."""


@runtime_checkable
class Asked(Protocol):
    """What an encoded picture needs of the model that has looked at it."""

    network: OpenVocabularySegmenter
    device: torch.device
    precision: Precision

    def read(self, vocabulary: VocabularyLike) -> Vocabulary:
        """Reads words."""
        ...

    def encode(self, vocabulary: Vocabulary, *, negatives: bool = True) -> VocabularyEmbeddings:
        """Embeds a vocabulary, or remembers it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """An opened picture, with what its result takes of its item; what was given may be as large once more."""

    picture: UInt8[np.ndarray, "H W 3"]
    frame: Frame
    name: str
    source: Path | None
    follow: Callable[[PanopticMap], PanopticMap] | None

    def result(
        self, panoptic: PanopticMap, vocabulary: Vocabulary, found: tuple[Instance, ...] | None = None
    ) -> Result:
        """The result with a map of the picture; a video's frames are to be answered once each, in their order."""
        if self.follow is not None:
            panoptic = self.follow(panoptic)
        return Result(
            segmentation=panoptic.segmentation,
            segments=panoptic.segments,
            vocabulary=vocabulary,
            picture=self.picture,
            source=self.source,
            instances=found,
            called=self.name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What `segment` is asked, checked before a picture is looked at."""

    vocabulary: Vocabulary
    negatives: bool
    fusion: Fusion | None
    merge: MergeConfig
    with_instances: bool
    tree: NameTree | None
    """With the names of inner nodes, where paths are found by these."""

    @staticmethod
    def of(
        model: Asked,
        vocabulary: VocabularyLike,
        *,
        negatives: bool,
        score_threshold: float | None,
        fusion: Fusion | None,
        rank_by: RankBy | None,
        with_instances: bool,
        tree: bool,
    ) -> "Question":
        """Fills in what the model's configuration says; the arguments are those of `Model.segment`.

        Raises:
            VocabularyError: if the words make no vocabulary, or have no taxonomy that was asked for.
        """
        config = model.network.config
        asked = config.question.score_threshold if score_threshold is None else score_threshold
        given = {"score_threshold": asked, "rank_by": rank_by}
        model.network.check_fusion(fusion)
        words = model.read(vocabulary)
        return Question(
            vocabulary=words,
            negatives=negatives,
            fusion=fusion,
            merge=replace(config.merge, **{name: value for name, value in given.items() if value is not None}),
            with_instances=with_instances,
            tree=NameTree.of(words) if tree else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EncodedImage:
    """A picture that a model has looked at, from `Model.encode_image`: known words and thresholds cost next to nothing.

    Answers are those of `Model.segment` and `Model.find`. Any number of threads may ask. It holds the model, the
    picture, and mask logits at a quarter of the size that the network saw; a model that shows CLIP crops of proposals
    encodes those that a question needs, and keeps their embeddings.
    """

    model: Asked
    opened: Opened
    encoded: EncodedImages

    @property
    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """RGB, upright."""
        return self.opened.picture

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture, and of every map of it, in pixels."""
        return self.opened.frame.original

    def segment(
        self,
        vocabulary: VocabularyLike,
        *,
        negatives: bool = True,
        score_threshold: float | None = None,
        fusion: Fusion | None = None,
        rank_by: RankBy | None = None,
        with_instances: bool = False,
        tree: bool = False,
    ) -> Result:
        """Segments the picture by some words; arguments, answer and errors are those of `Model.segment`."""
        settings: dict[str, Any] = {"negatives": negatives, "score_threshold": score_threshold, "rank_by": rank_by}
        return self.answer(
            Question.of(self.model, vocabulary, fusion=fusion, with_instances=with_instances, tree=tree, **settings)
        )

    def answer(self, question: Question) -> Result:
        """Answers what was checked already."""
        (result,) = answers(self.model, [self.opened], self.encoded, question)
        return result

    def find(self, vocabulary: VocabularyLike) -> Result:
        """Finds the best region of each word by CLIP's scores only; see `Model.find`."""
        vocabulary, network = self.model.read(vocabulary), self.model.network
        words = self.model.encode(vocabulary)
        with torch.inference_mode():
            prediction = _predict(self.model, self.encoded, words, network.clip_only)
            frame, threshold = self.opened.frame, network.region_threshold
            return self.opened.result(
                best_regions(prediction, 0, frame, vocabulary, mask_threshold=threshold), vocabulary
            )

    def __repr__(self) -> str:
        height, width = self.size
        return f"<EncodedImage of {width} x {height} pixels, by {self.model!r}>"


def answers(model: Asked, opened: Sequence[Opened], encoded: EncodedImages, question: Question) -> list[Result]:
    """Answers one question of pictures that were encoded together."""
    vocabulary, fusion, merge, tree = question.vocabulary, question.fusion, question.merge, question.tree
    words = model.encode(vocabulary, negatives=question.negatives)
    descents = None
    if tree is not None:
        nodes = words.followed_by(model.encode(tree.nodes, negatives=False))
        descents = tree.descents(nodes, lambda some: _predict(model, encoded, some, fusion))
    results: list[Result] = []
    with torch.inference_mode():
        prediction = _predict(model, encoded, words, fusion)
        for index, one in enumerate(opened):
            paths = None if descents is None else descents(index)
            panoptic = panoptic_map(prediction, index, one.frame, vocabulary, merge, paths)
            found = None
            if question.with_instances:
                found = instances(prediction, index, one.frame, vocabulary, merge)
            results.append(one.result(panoptic, vocabulary, found))
    return results


def _predict(
    model: Asked, encoded: EncodedImages, words: VocabularyEmbeddings, fusion: Fusion | None
) -> MaskPrediction:
    with computing(model.device, model.precision):
        return model.network.answer(encoded, words, fusion)


def opened_in_turn(
    items: Iterable[Item], open_one: Callable[[Item], Opened]
) -> Iterator[Opened | tuple[Any, ValueError]]:
    """Opens pictures one by one; of one that can't be opened it gives what was given, with the reason."""
    for item in items:
        try:
            one = open_one(item)
        except ValueError as error:
            yield item.given, error
        else:
            yield one


def with_items(
    items: Iterator[Item], answer: Callable[[Iterator[Item], Callable[[Any, ValueError], None]], Iterator[Result]]
) -> Iterator[tuple[Item, Result | ValueError]]:
    """Pairs pictures with their results, or with the errors because of which they have none, in their order.

    Args:
        items: may be read ahead by `answer`.
        answer: gives results in the order of the pictures, and calls what it is given for those that it leaves out.
    """
    waiting: deque[Item] = deque()
    errors: list[ValueError] = []

    def read() -> Iterator[Item]:
        for item in items:
            waiting.append(item)
            yield item

    for result in answer(read(), lambda _, error: errors.append(error)):
        yield from ((waiting.popleft(), error) for error in errors)
        errors.clear()
        yield waiting.popleft(), result
    yield from ((waiting.popleft(), error) for error in errors)


def in_batches(
    opened: Iterable[Opened | tuple[Any, ValueError]],
    batch_size: int,
    answer: Callable[[list[Opened]], list[Result]],
) -> Iterator[Result | tuple[Any, ValueError]]:
    """Answers pictures of one canvas together, and yields in the order of the pictures.

    Pictures wait for others of their canvas until `LOOK_AHEAD` batches of them wait: an endless iterable is read so far
    ahead, and memory does not grow.

    Args:
        opened: pictures, and those that can't be opened with the reason, which come back in their place.
        batch_size: pictures of a batch at most; 1 reads none ahead.
        answer: answers the pictures of a batch.
    """
    waiting: dict[int, Opened | Result | tuple[Any, ValueError]] = {}  # in order; what is answered takes its place
    together: dict[tuple[int, int], list[tuple[int, Opened]]] = {}

    def run(canvas: tuple[int, int]) -> None:
        places, batch = zip(*together.pop(canvas), strict=True)
        waiting.update(zip(places, answer(list(batch)), strict=True))

    def done() -> Iterator[Result | tuple[Any, ValueError]]:
        while waiting and not isinstance(first := waiting[place := next(iter(waiting))], Opened):
            del waiting[place]
            yield first

    for number, one in enumerate(opened):
        waiting[number] = one
        if isinstance(one, Opened):
            batch = together.setdefault(one.frame.padded, [])
            batch.append((number, one))
            if len(batch) >= batch_size:
                run(one.frame.padded)
        yield from done()
        if len(waiting) >= LOOK_AHEAD * batch_size:
            run(next(iter(together)))
            yield from done()
    while together:
        run(next(iter(together)))
        yield from done()
