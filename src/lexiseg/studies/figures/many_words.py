"""Figure 3: the five likeliest names of a mask among thousands of words, and how often the true one is among them."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lexiseg.core.concepts import same_word
from lexiseg.core.structures import VocabularyEmbeddings
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.core.words.distractors import distractor_names
from lexiseg.data.categories import match_vocabulary
from lexiseg.layers.modulation import CLIP_ONLY
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.postprocess.panoptic import NUM_GUESSES
from lexiseg.storybook.roles import ALL
from lexiseg.studies.figures.drawing import SERIES, Drawing
from lexiseg.studies.figures.examples import is_worth_showing, most_telling, picture_row, shown_share
from lexiseg.studies.figures.picture_rows import Line, Note, PictureRow, picture_rows
from lexiseg.studies.figures.segments import Seen, look, show_all
from lexiseg.studies.verdicts import with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures

LISTS = ("own words", "many words")
MASKS = ("own masks", "true masks")
NUM_DISTRACTORS = 1_800
"""Names that distract; the built-in lists have hardly more."""


def arm(masks: str, words: str) -> str:
    """The arm of masks of one kind that are named by one list."""
    return f"Figure 3: {masks}, {words}"


ARMS = tuple(arm(masks, words) for masks in MASKS for words in LISTS)


def among_many(vocabulary: Vocabulary, known: Sequence[Concept]) -> tuple[Vocabulary, int]:
    """The words, then the known ones that they lack, then distractors; and how many of them are no distractors.

    A known concept of which a name is there already is left out.
    """
    taken = set(map(same_word, vocabulary.row_names()))
    concepts = list(vocabulary.concepts)
    for concept in known:
        names = set(map(same_word, concept.names))
        if taken.isdisjoint(names):
            taken |= names
            concepts.append(concept)
    no_distractors = replace(vocabulary, concepts=tuple(concepts))
    concepts += map(Concept, distractor_names(NUM_DISTRACTORS, besides=no_distractors))
    return replace(vocabulary, concepts=tuple(concepts)), len(no_distractors)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A list of words, embedded."""

    vocabulary: Vocabulary
    words: VocabularyEmbeddings
    num_known: int
    """Concepts that are no distractors; the first ones."""

    @staticmethod
    def of(model: OPSNet, vocabulary: Vocabulary, num_known: int) -> "Asked":
        """Embeds the words anew."""
        return Asked(
            vocabulary=vocabulary, words=model.embed_vocabulary(vocabulary, negatives=False), num_known=num_known
        )


@torch.no_grad()
def logits_of(model: OPSNet, seen: Seen, asked: Asked) -> dict[str, list[Float[Tensor, " K"] | None]]:
    """For each segment the logits of all words: of the model for its own mask, if it has one, and of CLIP for the true.

    A true mask has no query, so that CLIP alone can name it.
    """
    own = model.predict(seen.own, asked.words, model.config.fusion).class_logits[0]
    true = model.predict(seen.true, asked.words, CLIP_ONLY).class_logits[0]
    return {
        "own masks": [None if query is None else own[query] for query in seen.queries],
        "true masks": list(true),
    }


def count(
    masks: Mapping[str, Sequence[Float[Tensor, " K"] | None]],
    seen: Seen,
    concept_of: Sequence[int | None],
    asked: Asked,
) -> dict[str, Counter[str]]:
    """What one list of words makes of the segments of a picture, by kind of mask."""
    counts = {kind: Counter[str]() for kind in masks}
    for kind, rows in masks.items():
        for segment, row, concept in zip(seen.shown.segments, rows, concept_of, strict=True):
            if concept is None:
                continue
            group = "unannotated " if segment.id in seen.shown.strangers else ""
            counts[kind][f"{group}all"] += 1
            if row is None:
                continue
            rank = int((row > row[concept]).sum())
            found = {"masks": True, "top-1": rank < 1, "top-5": rank < NUM_GUESSES}
            found["distractor first"] = int(row.argmax()) >= asked.num_known
            counts[kind].update(f"{group}{name}" for name, is_so in found.items() if is_so)
    return counts


def shares(counts: Counter[str], data: str, groups: Sequence[str]) -> dict[str, float]:
    """Figures in percent of the segments of each group that have a mask of the kind."""
    found: dict[str, float] = {}
    for group in groups:
        masks = counts[f"{group}masks"]
        found[f"{data} {group}masks"] = 100 * masks / max(1, counts[f"{group}all"])
        for name in ("top-1", "top-5", "distractor first"):
            found[f"{data} {group}{name}"] = 100 * counts[f"{group}{name}"] / max(1, masks)
    return found


@dataclass(slots=True, kw_only=True, eq=False)
class Tally:
    """What one data set has shown so far."""

    model: OPSNet
    data: str
    lists: Mapping[str, Asked]
    concept_of: Mapping[int, int]
    """The concept of each category, in every list."""
    is_drawn: bool
    """Whether pictures show things that are not annotated, whose names are known."""
    rows_left: int
    """Pictures that the figure still wants."""
    blocks: dict[str, list[Counter[str]]] = field(default_factory=dict)
    """Counts by arm and block of pictures."""
    rows: list[PictureRow] = field(default_factory=list)
    seconds: float = 0.0
    """Of answering with many words, on one core."""

    def add(self, seen: Seen) -> None:
        """Names the segments of a picture by both lists."""
        many = self.lists["many words"].vocabulary.names
        places = {same_word(name): place for place, name in enumerate(many)}
        shown = seen.shown
        named = [shown.strangers.get(s.id) for s in shown.segments]
        concepts = [
            self.concept_of[s.category_id] if name is None else places.get(same_word(name))
            for s, name in zip(shown.segments, named, strict=True)
        ]
        for words, asked in self.lists.items():
            began = time.process_time()
            logits = logits_of(self.model, seen, asked)
            truth = [c if c is not None and c < len(asked.vocabulary) else None for c in concepts]
            for kind, counts in count(logits, seen, truth, asked).items():
                blocks = self.blocks.setdefault(arm(kind, words), [Counter() for _ in range(MOST_BLOCKS)])
                blocks[shown.number % MOST_BLOCKS] += counts
            if words == "many words":
                self.seconds += time.process_time() - began
                if self.rows_left and is_worth_showing(seen, is_drawn=self.is_drawn):
                    self.rows.append(row_of(seen, logits["own masks"], concepts, asked.vocabulary, self.data))
                    self.rows_left -= 1

    def figures(self) -> dict[str, dict[str, Any]]:
        """The figures by arm."""
        return {name: self._of_arm([block for block in blocks if block]) for name, blocks in self.blocks.items()}

    def _of_arm(self, blocks: Sequence[Counter[str]]) -> dict[str, Any]:
        groups = ("", "unannotated ") if any(block["unannotated all"] for block in blocks) else ("",)
        return with_blocks(blocks, lambda total: shares(total, self.data, groups))


def measure(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    pictures: Mapping[str, Mapping[str, Any]],
    scenes: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, int],
) -> Any:
    """Figure 3 of all data sets: the act of a unit.

    Args:
        files: where units leave files.
        out: for the pictures.
        model: of `World.model_settings`.
        pictures: for each data set those of `Pictures.settings`.
        scenes: for each data set that is drawn, role, split and seed.
        rows: pictures of each data set that the figure shows.
    """
    network = load_network(files, model, OPSNet)
    arms: dict[str, dict[str, Any]] = {}
    shown: list[PictureRow] = []
    costs: dict[str, Any] = {}
    for data, settings in pictures.items():
        dataset, vocabulary = open_pictures(files, settings)
        matched, category_ids = match_vocabulary(dataset.categories, vocabulary)
        many, num_known = among_many(matched, ALL.concepts if data in scenes else ())
        began = time.process_time()
        asked = {"many words": Asked.of(network, many, num_known)}
        costs[data] = {"words": len(many), "seconds of embedding": round(time.process_time() - began, 2)}
        asked["own words"] = Asked.of(network, matched, len(matched))
        tally = Tally(
            model=network,
            data=data,
            lists=asked,
            concept_of={category_id: place for place, category_id in enumerate(category_ids)},
            is_drawn=data in scenes,
            rows_left=rows.get(data, 0),
        )
        for one in show_all(dataset, scenes.get(data)):
            tally.add(look(network, one))
        for name, figures in tally.figures().items():
            arms.setdefault(name, {}).update(figures)
        shown += tally.rows
        costs[data]["seconds of answering"] = round(tally.seconds, 2)
    names = draw(shown, max(cost["words"] for cost in costs.values())).write(out / "figure-3")
    return {"arms": arms, "costs": costs, "pictures": list(names)}


def row_of(
    seen: Seen,
    logits: Sequence[Float[Tensor, " K"] | None],
    places: Sequence[int | None],
    words: Vocabulary,
    data: str,
) -> PictureRow:
    """A row of the figure: the picture, some of its masks, and the five likeliest names of each."""
    notes: list[Note] = []
    chosen = most_telling(seen)
    for number, place in enumerate(chosen, start=1):
        row, segment = logits[place], seen.shown.segments[place]
        assert row is not None, "chosen for its mask"
        probs, best = row.softmax(-1).topk(NUM_GUESSES)
        lines = tuple(
            Line(
                words=words.names[index],
                value=shown_share(prob),
                share=prob,
                colour=SERIES[number - 1],
                is_right=index == places[place],
            )
            for prob, index in zip(probs.tolist(), best.tolist(), strict=True)
        )
        concept = places[place]
        true = "?" if concept is None else words.names[concept]
        aside = "unlabelled" if segment.id in seen.shown.strangers else ""
        notes.append(Note(heading=true, number=str(number), colour=SERIES[number - 1], aside=aside, lines=lines))
    return picture_row(seen, chosen, tuple(notes), f"{data}, test picture {seen.shown.number}")


def draw(rows: Sequence[PictureRow], num_words: int) -> Drawing:
    """The figure."""
    return picture_rows(
        f"Five names out of {num_words:,}",
        rows,
        says="The five likeliest names of a model's own masks, asked for every name of the data and for distractors. "
        "(The shipped CLIP has read the drawn world's words alone: of other words it knows the letters.) Green dots: "
        "the truth.",
        source='Figure 3 of OPSNet, by lexiseg reproduce "Figure 3": the first pictures with masks of three segments, '
        "of which the annotation leaves one out.",
    )
