"""Precision and recall where a few words are asked, against the same words read off the answer for all of them.

Usage: python benchmarks/few_words.py MODEL [--role novel] [--split val] [--count 60] [--absent any|near]

Of each scene 1, 2, 4 and 6 words are asked. Half of them name what it shows (of a single one every other time); the
others do not, and are drawn from the whole vocabulary or, with `--absent near`, from the nearest places of the taxonomy.
A segment is right if its IoU with a true segment of its word is above one half; recall is of the true segments of the
words that were asked.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from lexiseg import Vocabulary, load_model
from lexiseg.core.batches import to_image_batch
from lexiseg.core.images import open_picture
from lexiseg.core.structures import PanopticMap, VocabularyEmbeddings
from lexiseg.core.tables import markdown_table
from lexiseg.core.vocabulary import Concept
from lexiseg.data.dataset import Segmentation, SegmentInfo
from lexiseg.evaluation.metrics.panoptic_quality import overlaps
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.postprocess.panoptic import panoptic_map
from lexiseg.models.vocabulary_embedding import embed_vocabulary
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import ALL, ROLE_CONTENTS

NUM_WORDS = (1, 2, 4, 6)
Absent = Literal["any", "near"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What competes with the words that are asked."""

    negatives: bool = True
    general: tuple[str, ...] = ("background", "object")
    """Words that compete besides those of the training."""
    same: float = 0.9
    """Cosine from which a negative means the same as a word and does not compete; 1: only by its name."""
    s_of_all: bool = False
    """Whether the domain similarity is that of all words that compete, not of those that are asked."""


POLICIES: Mapping[str, Policy] = {
    "no negatives": Policy(negatives=False),
    "training words": Policy(),
    "training words, 1": Policy(same=1.0),
    "all known": Policy(general=(*ALL.names, "background", "object")),
    "all known, 1": Policy(general=(*ALL.names, "background", "object"), same=1.0),
    "all known, 0.97": Policy(general=(*ALL.names, "background", "object"), same=0.97),
    "all known, 1, s of all": Policy(general=(*ALL.names, "background", "object"), same=1.0, s_of_all=True),
    "role": Policy(),
}
THRESHOLDS = (0.05, 0.2, 0.35, 0.5)


def ask(model: OpenVocabularySegmenter, vocabulary: Vocabulary, policy: Policy) -> VocabularyEmbeddings:
    words = embed_vocabulary(
        model.text_encoder,
        model.phrased(vocabulary),
        model.phrased(model.config.training_vocabulary),
        negatives=policy.negatives,
        negative_similarity=policy.same,
        general=policy.general,
        cache_dir=Path("/tmp/embcache"),
    )
    return replace(words, domain_similarity=words.similarity.double().mean().item()) if policy.s_of_all else words


def questions(
    rng: random.Random, vocabulary: Vocabulary, present: Sequence[str], absent: Absent, turn: int
) -> Iterator[Vocabulary]:
    """One question of each size."""
    of_name = {concept.name: concept for concept in vocabulary.concepts}
    for number in NUM_WORDS:
        known = rng.sample(present, min(len(present), number // 2 if number > 1 else turn % 2))
        others = [name for name in vocabulary.names if name not in present]
        rng.shuffle(others)
        if absent == "near":
            wanted = known or rng.sample(present, 1)
            others.sort(key=lambda name: -max(shared(of_name[name], of_name[other]) for other in wanted))
        asked = [*known, *others[: number - len(known)]]
        rng.shuffle(asked)
        yield replace(vocabulary, concepts=tuple(of_name[name] for name in asked))


def shared(one: Concept, other: Concept) -> int:
    """How long a way of the taxonomy both have in common."""
    return sum(a == b for a, b in zip(one.path, other.path, strict=False))


@dataclass
class Counts:
    right: int = 0
    given: int = 0
    true: int = 0

    def add(self, truth: Segmentation, names: Mapping[int, str], answer: PanopticMap, asked: Sequence[str]) -> None:
        """Counts one answer; segments of other words are not looked at."""
        segments = tuple(SegmentInfo(id=s.id, category_id=s.class_id, area=s.area, box=s.box) for s in answer.segments)
        name_of = {s.id: s.name for s in answer.segments}
        pairs = overlaps(truth.ids, truth.segments, answer.segmentation, segments)
        matches = pairs.matches()
        for column, segment in enumerate(segments, start=1):
            if name_of[segment.id] not in asked:
                continue
            self.given += 1
            self.right += any(
                matches[row, column] and names[true.category_id] == name_of[segment.id]
                for row, true in enumerate(pairs.truth, start=1)
            )
        self.true += sum(names[s.category_id] in asked and not s.is_crowd for s in truth.segments)

    def __str__(self) -> str:
        return f"{self.right / max(1, self.given):.2f} / {self.right / max(1, self.true):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--role", choices=get_args(Role), default="novel")
    parser.add_argument("--split", choices=get_args(Split), default="val")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--absent", choices=get_args(Absent), default="any")
    given = parser.parse_args()
    from lexiseg.io.models import find_model

    model = load_model(find_model(given.model))
    vocabulary = ROLE_CONTENTS[given.role].vocabulary
    counts: dict[tuple[str, int, float], Counts] = {}
    everything = ask(model, vocabulary, Policy())
    cache: dict = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        data = write_storybook(
            StorybookSpec(role=given.role, split=given.split, count=given.count), Path(folder) / "data"
        )
        names = {category.id: category.name for category in data.categories}
        rng = random.Random(0)
        for turn, sample in enumerate(data.samples):
            truth = data.annotation(sample).panoptic
            present = sorted({names[s.category_id] for s in truth.segments if not s.is_crowd})
            images = to_image_batch([open_picture(sample.image_path)], longest=model.config.longest_side)
            proposals, frame = model.propose(images), images.frames[0]
            full = model.classify(images, proposals, everything)
            for question in questions(rng, vocabulary, present, given.absent, turn):
                for name, policy in POLICIES.items():
                    if name == "role":
                        policy = Policy(general=(*vocabulary.names, "background", "object"), same=1.0)
                    words = ask(model, question, policy)
                    answer = model.classify(images, proposals, words)
                    for t in THRESHOLDS:
                        c = counts.setdefault((name, len(question), t), Counts())
                        merge = replace(model.config.merge, score_threshold=t)
                        c.add(truth, names, panoptic_map(answer, 0, frame, question, merge), question.names)
                for t in THRESHOLDS:
                    c = counts.setdefault(("read off", len(question), t), Counts())
                    c.add(
                        truth,
                        names,
                        panoptic_map(full, 0, frame, vocabulary, replace(model.config.merge, score_threshold=t)),
                        question.names,
                    )
    rows = []
    for name in ["read off", *POLICIES]:
        for t in THRESHOLDS:
            rows.append((name, f"{t:g}", *(str(counts[name, n, t]) for n in NUM_WORDS)))
    print("\n".join(markdown_table(("policy", "t", *(f"{n}" for n in NUM_WORDS)), rows)))


if __name__ == "__main__":
    main()
