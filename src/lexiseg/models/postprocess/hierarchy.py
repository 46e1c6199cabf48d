"""Hierarchical prediction: from class probabilities to a path down the taxonomy (OPSNet, section 4.4)."""

from jaxtyping import Float
from torch import Tensor

from lexiseg.core.structures import Guess
from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Vocabulary


def descend(
    class_probs: Float[Tensor, " K"], vocabulary: Vocabulary, root: TaxonomyNode | None = None
) -> tuple[Guess, ...]:
    """Walks down the taxonomy: at each node to the likeliest child, until a concept is reached.

    A node's probability is the sum over the concepts below it, as concepts exclude each other and a node is their
    union: steps are then conditional probabilities, whose product is the concept's own. (With the maximum, the walk
    could only repeat the best concept's ancestors.) It may thus end elsewhere than at the best single concept: a cat, a
    dog and an owl at 0.2 each make an animal, although "truck" has 0.3.

    Args:
        class_probs: of the vocabulary's concepts, not negative; any common factor cancels.
        vocabulary: the concepts.
        root: their taxonomy; computed if not given.

    Returns:
        The path, root first, each step with its probability among its siblings; empty if no
        concept has a place in a taxonomy.
    """
    node = root or taxonomy(vocabulary)
    if not node.children:
        return ()
    probs = class_probs.tolist()
    steps: list[Guess] = []
    while True:
        branches = [(sum(probs[i] for i in child.concept_ids), child) for child in node.children]
        leaves = [(probs[i], vocabulary.concepts[i].name) for i in node.leaves]
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
