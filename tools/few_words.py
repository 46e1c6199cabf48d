"""Precision and recall where a few words are asked, against the same words read off the answer for all of them.

Usage: python tools/few_words.py MODEL [--role novel] [--split val] [--count 60] [--absent any|near]
                                            [--score-threshold X ...]

Of each scene 1, 2, 4 and 6 words are asked. Half of them name what it shows (of a single one every other time); the
others do not, and are drawn from the whole vocabulary or, with `--absent near`, from the nearest places of the
taxonomy. A segment is right if its IoU with a true segment of its word is above one half; recall is of the true
segments of the words that were asked. What competes with them: nothing; the words of the training; every word of the
drawn world; or what the model's own configuration says.
"""

import argparse
import copy
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from lexiseg import Vocabulary
from lexiseg.core.batches import to_image_batch
from lexiseg.core.images import open_picture
from lexiseg.core.structures import PanopticMap
from lexiseg.core.tables import markdown_table
from lexiseg.core.vocabulary import Concept
from lexiseg.data.dataset import Segmentation, SegmentInfo
from lexiseg.evaluation.metrics.panoptic_quality import overlaps
from lexiseg.evaluation.plan import inference
from lexiseg.io.finding import find_model
from lexiseg.io.models import load_model
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import panoptic_map
from lexiseg.models.vocabulary_embedding import GENERAL_NEGATIVES
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, ROLE_CONTENTS

NUM_WORDS = (1, 2, 4, 6)
READ_OFF = "read off the answer for all"
Absent = Literal["any", "near"]


@dataclass
class Counts:
    """Segments that were right, that were given, and that there are."""

    right: int = 0
    given: int = 0
    true: int = 0

    def add(self, truth: Segmentation, names: Mapping[int, str], answer: PanopticMap, asked: Sequence[str]) -> None:
        """Counts one answer; segments of other words are not looked at."""
        given = [segment for segment in answer.segments if segment.name in asked]
        infos = tuple(SegmentInfo(id=s.id, category_id=s.class_id, area=s.area, box=s.box) for s in answer.segments)
        pairs = overlaps(truth.ids, truth.segments, answer.segmentation, infos)
        of_id = {info.id: true for info, true in zip(infos, pairs.matched(), strict=True)}
        self.given += len(given)
        self.right += sum(
            (place := of_id[segment.id]) is not None and names[pairs.truth[place].category_id] == segment.name
            for segment in given
        )
        self.true += sum(names[s.category_id] in asked and not s.is_crowd for s in truth.segments)

    def __str__(self) -> str:
        return f"{self.right / max(1, self.given):.2f} / {self.right / max(1, self.true):.2f}"


def questions(
    rng: random.Random, vocabulary: Vocabulary, present: Sequence[str], absent: Absent, turn: int
) -> Iterator[Vocabulary]:
    """One question of each size."""
    concepts = {concept.name: concept for concept in vocabulary.concepts}
    for number in NUM_WORDS:
        known = rng.sample(present, min(len(present), number // 2 if number > 1 else turn % 2))
        others = [name for name in vocabulary.names if name not in present]
        rng.shuffle(others)
        if absent == "near":
            near = [concepts[name] for name in known or rng.sample(present, 1)]
            others.sort(key=lambda name: -max(shared_path(concepts[name], other) for other in near))
        asked = [*known, *others[: number - len(known)]]
        rng.shuffle(asked)
        yield replace(vocabulary, concepts=tuple(concepts[name] for name in asked))


def shared_path(one: Concept, other: Concept) -> int:
    """How many places of the taxonomy both have in common, from the root."""
    pairs = list(zip(one.path, other.path, strict=False))
    return next((depth for depth, (a, b) in enumerate(pairs) if a != b), len(pairs))


def competing(model: OpenVocabularySegmenter, negatives: Sequence[str]) -> OpenVocabularySegmenter:
    """The same model with other words that compete."""
    other = copy.copy(model)
    other.config = replace(model.config, question=replace(model.config.question, negatives=tuple(negatives)))
    return other


def measure(
    model: OpenVocabularySegmenter, role: Role, split: Split, count: int, absent: Absent, thresholds: Sequence[float]
) -> dict[tuple[str, float, int], Counts]:
    """Counts by what competes, score threshold and number of words."""
    vocabulary = ROLE_CONTENTS[role].vocabulary
    asking = {
        "nothing": (model, False),
        "words of the training": (competing(model, GENERAL_NEGATIVES), True),
        "every drawn word": (competing(model, (*GENERAL_NEGATIVES, *ALL.names)), True),
        "the model's own": (model, True),
    }
    counts: dict[tuple[str, float, int], Counts] = {}
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary, inference(model):
        folder = Path(temporary)
        data = write_storybook(StorybookSpec(role=role, split=split, count=count), folder / "data")
        names = {category.id: category.name for category in data.categories}
        everything = model.embed_vocabulary(vocabulary, negatives=True, cache_dir=folder)
        for turn, sample in enumerate(data.samples):
            truth = data.annotation(sample).to_segmentation(data.categories)
            present = sorted({names[s.category_id] for s in truth.segments if not s.is_crowd})
            sides = {"longest": model.config.longest_side, "shortest": model.config.shortest_side}
            images = to_image_batch([open_picture(sample.image_path)], **sides)
            encoded, frame = model.encode(images), images.frames[0]
            whole = model.answer(encoded, everything)
            for question in questions(rng, vocabulary, present, absent, turn):
                answers = {READ_OFF: (whole, vocabulary)}
                for name, (asked, negatives) in asking.items():
                    words = asked.embed_vocabulary(question, negatives=negatives, cache_dir=folder)
                    answers[name] = asked.answer(encoded, words), question
                for (name, (answer, listed)), threshold in ((a, t) for a in answers.items() for t in thresholds):
                    merge = replace(model.config.merge, score_threshold=threshold)
                    found = panoptic_map(answer, 0, frame, listed, merge)
                    key = name, threshold, len(question)
                    counts.setdefault(key, Counts()).add(truth, names, found, question.names)
    return counts


def main() -> None:
    """Reads the arguments, measures and prints precision / recall."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--role", choices=get_args(Role), default="novel")
    parser.add_argument("--split", choices=get_args(Split), default="val")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--absent", choices=get_args(Absent), default="any")
    parser.add_argument("--score-threshold", type=float, nargs="*")
    wanted = parser.parse_args()
    model = load_model(find_model(wanted.model))
    own = model.config.question.score_threshold
    thresholds = wanted.score_threshold or [model.config.merge.score_threshold if own is None else own]
    counts = measure(model, wanted.role, wanted.split, wanted.count, wanted.absent, thresholds)
    rows = {(name, threshold): [] for name, threshold, _ in counts}
    for (name, threshold, _), found in counts.items():
        rows[name, threshold].append(str(found))
    heading = "what competes", "score threshold", *(f"{number} words" for number in NUM_WORDS)
    lines = [(name, f"{threshold:g}", *found) for (name, threshold), found in rows.items()]
    print(*markdown_table(heading, lines), sep="\n")


if __name__ == "__main__":
    main()
