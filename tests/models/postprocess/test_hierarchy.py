"""Paths by the names of inner nodes: each level is a question of its own (OPSNet, section 4.4)."""

from collections.abc import Callable

import pytest
import torch

import tiny
from lexiseg.core.errors import VocabularyError
from lexiseg.core.structures import MaskPrediction, VocabularyEmbeddings
from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.models.base import OpenVocabularySegmenter
from lexiseg.models.postprocess.hierarchy import NameTree

WORDS = Vocabulary(
    (
        Concept("cat", ("kitten",), path=("thing", "animal")),
        Concept("animal", path=("thing", "animal")),
        Concept("crane", path=("thing",), id="n02012849"),
        Concept("crane", path=("thing", "machine"), id="n03126707"),
        Concept("sky", is_thing=False, path=("stuff",)),
        Concept("noise"),
    ),
    tiny.TRAINING.templates,
)
MODELS = [tiny.model, tiny.ovseg, tiny.fcclip]


def walk(network: OpenVocabularySegmenter, index: int, query: int) -> list[tuple[str, float]]:
    """The descent by the book: at every node the children are embedded, and asked for, anew."""
    encoded = network.encode(tiny.pictures())
    steps: list[tuple[str, float]] = []
    node: TaxonomyNode | None = taxonomy(WORDS)
    while node is not None:
        children = [Concept(child.name, id=f"node {n}") for n, child in enumerate(node.children)]
        leaves = [Concept(c.name, c.synonyms, id=f"leaf {n}") for n, c in ((n, WORDS.concepts[n]) for n in node.leaves)]
        words = network.embed_vocabulary(Vocabulary((*children, *leaves), WORDS.templates), negatives=False)
        probs = network.answer(encoded, words).class_logits[index, query].float().softmax(-1)
        best = int(probs.argmax())
        is_inner = best < len(children)
        name = children[best].name if is_inner else WORDS.names[node.leaves[best - len(children)]]
        steps.append((name, float(probs[best])))
        node = node.children[best] if is_inner else None
    return steps


@pytest.mark.parametrize("make", MODELS)
@torch.no_grad()
def test_every_step_is_the_models_answer_to_the_children_alone(make: Callable[[], OpenVocabularySegmenter]) -> None:
    network, tree = make(), NameTree.of(WORDS)
    encoded = network.encode(tiny.pictures())
    words = network.embed_vocabulary(WORDS, negatives=True)
    nodes = words.followed_by(network.embed_vocabulary(tree.nodes, negatives=False))
    asked: list[tuple[float, ...]] = []

    def answer(words: VocabularyEmbeddings) -> MaskPrediction:
        asked.append(tuple(words.similarity.tolist()))
        return network.answer(encoded, words)

    descents = tree.descents(nodes, answer)
    found = [descents(index)(range(4)) for index in (0, 1)]

    assert len(asked) == len(set(asked)) <= 3  # once for a node of several children
    for index in (0, 1):
        for query in range(4):
            expected = walk(network, index, query)
            assert [step.name for step in found[index][query]] == [name for name, _ in expected]
            assert [s.score for s in found[index][query]] == pytest.approx([score for _, score in expected], rel=1e-4)


def test_an_only_child_is_taken_without_asking_the_model() -> None:
    words = Vocabulary((Concept("crane", path=("thing", "machine")),))
    network, tree = tiny.model(), NameTree.of(words)
    with torch.no_grad():
        embedded = network.embed_vocabulary(words, negatives=False)
        nodes = embedded.followed_by(network.embed_vocabulary(tree.nodes, negatives=False))

    def answer(words: VocabularyEmbeddings) -> MaskPrediction:
        raise AssertionError("asked")

    (path,) = tree.descents(nodes, answer)(0)([0])

    assert [(step.name, step.score) for step in path] == [("thing", 1.0), ("machine", 1.0), ("crane", 1.0)]


def test_a_node_may_be_called_as_a_concept_below_it_and_concepts_as_one_another() -> None:
    tree = NameTree.of(WORDS)

    assert tree.names == (
        "cat",
        "animal",
        "crane (n02012849)",
        "crane (n03126707)",
        "sky",
        "noise",
        "thing",
        "stuff",
        "animal",
        "machine",
    )
    assert tree.nodes.row_names() == ("thing", "stuff", "animal", "machine")
    assert tree.root.places == (6, 7, 5)
    assert tree.root.below[0] is not None
    assert tree.root.below[0].places == (8, 9, 2)
    with pytest.raises(VocabularyError, match="needs words with places in one"):
        NameTree.of(Vocabulary.of("cat, dog"))


@torch.no_grad()
def test_some_of_the_words_are_what_embedding_them_alone_gives() -> None:
    network = tiny.model()
    words = tiny.words(network, "sky, owl, cat|kitten, frog|toad")

    part, alone = words.only((3, 0, 2)), tiny.words(network, "frog|toad, sky, cat|kitten")

    torch.testing.assert_close(part.text_embed, alone.text_embed)
    torch.testing.assert_close(part.similarity, alone.similarity)
    assert part.concept_index.tolist() == alone.concept_index.tolist() == [0, 0, 1, 2, 2]
    assert part.domain_similarity == pytest.approx(alone.domain_similarity)
    assert part.is_trained is not None
    assert part.is_trained.tolist() == [False, True, True]
    assert part.num_concepts == 3


def test_with_means_a_node_stands_for_its_concepts_and_no_other_word_changes() -> None:
    tree = NameTree.of(WORDS)
    network = tiny.model()
    words = tiny.words(network, WORDS).followed_by(tiny.words(network, tree.nodes))

    found = tree.with_means(words)

    (thing,) = [place for place in tree.root.places if tree.names[place] == "thing"]
    rows = {place: (words.concept_index == place).nonzero().flatten() for place in range(len(tree.names))}
    below = torch.cat([rows[place] for place in (0, 1, 2, 3)])
    mean = torch.nn.functional.normalize(words.text_embed[below].mean(0), dim=0)
    torch.testing.assert_close(found.text_embed[rows[thing]][0], mean)
    torch.testing.assert_close(found.similarity[thing], words.similarity[:4].mean())
    concepts = torch.cat([rows[place] for place in range(len(WORDS))])
    assert torch.equal(found.text_embed[concepts], words.text_embed[concepts])
    assert torch.equal(found.similarity[: len(WORDS)], words.similarity[: len(WORDS)])
