"""Hierarchical prediction: a path down the taxonomy for a segment (OPSNet, section 4.4 and Figure 5), in two ways.

* **By names**, as the paper does it: inner nodes have names, too, the text tower reads them, and at every node its
  children are a vocabulary of their own, down to a concept. Every step is a whole answer of the model, with the s and
  the debiasing of those children alone, as both depend on the words that are asked together.
* **By sums**: a node is the union of the concepts below it, so its probability is the sum of theirs. Needs no further
  words, and nothing but the answer that is there already.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.errors import VocabularyError
from lexiseg.core.structures import Guess, MaskPrediction, VocabularyEmbeddings
from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Concept, Vocabulary

Paths = Callable[[Sequence[int]], Sequence[tuple[Guess, ...]]]
"""The paths of some queries of a picture, root first, each step with its probability among its siblings."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Branch:
    """A node's children: inner nodes, then concepts."""

    places: tuple[int, ...]
    """Of every child among all names of the tree."""
    below: tuple["Branch | None", ...]
    """The children of every child; None of a concept."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NameTree:
    """A vocabulary's taxonomy with the names of its inner nodes, for descents by names."""

    nodes: Vocabulary
    """The inner nodes; they have ids, as two may have one name."""
    names: tuple[str, ...]
    """What each concept, then each inner node is called in a path."""
    root: Branch

    @staticmethod
    def of(vocabulary: Vocabulary) -> "NameTree":
        """The tree of a vocabulary.

        Raises:
            VocabularyError: if no word has a path.
        """
        if not any(concept.path for concept in vocabulary.concepts):
            raise VocabularyError(
                'a path down a taxonomy needs words with places in one: take a list such as "coco", give words a '
                '"path" in a file, or take their places from WordNet (--wordnet).'
            )
        names = list(vocabulary.names)

        def grow(node: TaxonomyNode) -> Branch:
            first = len(names)
            names.extend(child.name for child in node.children)
            below = tuple(grow(child) for child in node.children)
            places = (*range(first, first + len(below)), *node.leaves)
            return Branch(places=places, below=(*below, *[None] * len(node.leaves)))

        root = grow(taxonomy(vocabulary))
        inner = enumerate(names[len(vocabulary) :])
        nodes = Vocabulary(tuple(Concept(name, id=f"node {n}") for n, name in inner), vocabulary.templates)
        return NameTree(nodes=nodes, names=tuple(names), root=root)

    def with_means(self, words: VocabularyEmbeddings) -> VocabularyEmbeddings:
        """The same words, but every inner node stands for the mean of the concepts below it instead of its name.

        A CLIP that never read a node's name may know its concepts' names.

        Args:
            words: the concepts, then `nodes`, embedded without negatives.
        """
        text_embed, similarity = words.text_embed.clone(), words.similarity.clone()

        def fill(branch: Branch) -> list[int]:
            found: list[int] = []
            for place, below in zip(branch.places, branch.below, strict=True):
                places = [place] if below is None else fill(below)
                found += places
                if below is not None:
                    rows = torch.isin(words.concept_index, words.concept_index.new_tensor(places))
                    text_embed[words.concept_index == place] = F.normalize(words.text_embed[rows].mean(0), dim=0)
                    similarity[place] = words.similarity[places].mean()
            return found

        fill(self.root)
        return replace(words, text_embed=text_embed, similarity=similarity)

    def descents(
        self, words: VocabularyEmbeddings, answer: Callable[[VocabularyEmbeddings], MaskPrediction]
    ) -> Callable[[int], Paths]:
        """Descents by names in the pictures of a batch: at each node to the likeliest child, down to a concept.

        Args:
            words: the concepts followed by `nodes`, embedded, on the model's device.
            answer: of the model for the encoded batch; asked once for every node of several children that a query
                comes to.

        Returns:
            For the number of a picture in the batch, what gives its `Paths`.
        """

        @functools.cache
        def class_probs(branch: Branch) -> Float[Tensor, "B Q K"]:
            return answer(words.only(branch.places)).class_logits.float().softmax(-1).cpu()

        def path(index: int, query: int) -> tuple[Guess, ...]:
            steps: list[Guess] = []
            branch: Branch | None = self.root
            while branch is not None:
                score, child = 1.0, 0  # of an only child, for which the model is not asked
                if len(branch.places) > 1:
                    score, child = (value.item() for value in class_probs(branch)[index, query].max(-1))
                steps.append(Guess(name=self.names[branch.places[int(child)]], score=score))
                branch = branch.below[int(child)]
            return tuple(steps)

        return lambda index: lambda queries: [path(index, query) for query in queries]


def descend(class_probs: Float[Tensor, " K"], root: TaxonomyNode, names: Sequence[str]) -> tuple[Guess, ...]:
    """The descent by sums: at each node to the likeliest child, until a concept is reached.

    A node's probability is the sum over the concepts below it, as concepts exclude each other and a node is their
    union: steps are then conditional probabilities, whose product is the concept's own. (With the maximum, the walk
    could only repeat the best concept's ancestors.) It may thus end elsewhere than at the best single concept: a cat, a
    dog and an owl at 0.2 each make an animal, although "truck" has 0.3.

    Args:
        class_probs: of a vocabulary's concepts, not negative; any common factor cancels.
        root: the vocabulary's taxonomy.
        names: what each concept is called in a path.

    Returns:
        The path, root first, each step with its probability among its siblings; empty if no
        concept has a place in a taxonomy.
    """
    node = root
    if not node.children:
        return ()
    probs = class_probs.tolist()
    steps: list[Guess] = []
    while True:
        branches = [(sum(probs[i] for i in child.concept_ids), child) for child in node.children]
        leaves = [(probs[i], names[i]) for i in node.leaves]
        total = sum(mass for mass, _ in branches) + sum(mass for mass, _ in leaves)
        if total <= 0:
            return tuple(steps)
        branch = max(branches, key=lambda option: option[0], default=None)
        leaf = max(leaves, key=lambda option: option[0], default=None)
        if branch is None or (leaf is not None and leaf[0] > branch[0]):
            assert leaf is not None, "a node has children or leaves"
            return (*steps, Guess(name=leaf[1], score=leaf[0] / total))
        node = branch[1]
        steps.append(Guess(name=node.name, score=branch[0] / total))
